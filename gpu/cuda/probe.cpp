// What there is on this machine, asked once.
#include "gpu/cuda/cuda_library.hpp"
#include "gpu/device.hpp"
#include "gpu/error.hpp"

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

}  // namespace troupe::gpu
