#include "gpu/device.hpp"

#include "gpu/error.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <algorithm>
#include <c10/core/InferenceMode.h>
#include <chrono>
#include <string>

namespace troupe::gpu {

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
