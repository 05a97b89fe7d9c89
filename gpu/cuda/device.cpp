#include "gpu/device.hpp"

#include "gpu/cuda/cuda_library.hpp"
#include "gpu/error.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <algorithm>
#include <c10/core/InferenceMode.h>
#include <chrono>
#include <string>
#include <torch/headeronly/version.h>

#ifndef TROUPE_CUDA_LIBRARY
#define TROUPE_CUDA_LIBRARY ""
#endif

namespace troupe::gpu {
namespace {

const CudaLibrary& cuda_library() {
  static const CudaLibrary cuda = [] {
    CudaLibrary loaded = load_cuda({.driver = "libcuda.so.1", .library = TROUPE_CUDA_LIBRARY});
    loaded.report.libtorch_version = TORCH_VERSION;
    return loaded;
  }();
  return cuda;
}

}  // namespace

const DeviceReport& probe_devices() {
  return cuda_library().report;
}

std::string resolve_device(const std::string& wanted) {
  return choose_device(wanted, cuda_library());
}

std::shared_ptr<NcclDevice> cuda_nccl_device(const std::string& device) {
  const CudaLibrary& cuda = cuda_library();
  const std::string chosen = device == "cpu" ? device : choose_device(device, cuda);
  if (chosen == "cpu" || cuda.nccl_device == nullptr)
    throw Error("NCCL moves the memory of GPUs, and this process computes on the CPU (device = \"" +
                device + "\", CUDA: " + cuda.report.cuda_status + ")");
  std::shared_ptr<NcclDevice> made;
  std::string problem;
  cuda.nccl_device(std::stoi(chosen.substr(chosen.find(':') + 1)), made, problem);
  if (!problem.empty()) throw Error(chosen + ": " + problem);
  return made;
}

void set_compute_threads(int threads) {
  if (threads < 1) {
    throw Error("a computing thread needs at least 1 thread, not " + std::to_string(threads));
  }
  at::set_num_threads(threads);
}

int compute_threads() {
  return at::get_num_threads();
}

double matmul_gflops() {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kSize = 512;
  constexpr int kRuns = 6;  // the first one sets up the BLAS
  const c10::InferenceMode no_autograd;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor a = at::rand({kSize, kSize});
  const at::Tensor b = at::rand({kSize, kSize});
  std::chrono::duration<double> best{1e9};
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    at::mm(a, b);
    best = std::min<std::chrono::duration<double>>(best, Clock::now() - start);
  }
  at::set_num_threads(threads);
  return 2.0 * kSize * kSize * kSize / best.count() * 1e-9;
}

}  // namespace troupe::gpu
