#include "gpu/training/cpu_kernels.hpp"

namespace troupe::gpu {

#if defined(__x86_64__)
const CpuKernels& avx512_cpu_kernels();
const CpuKernels& avx2_cpu_kernels();
#endif

const CpuKernels& best_cpu_kernels() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return avx512_cpu_kernels();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_cpu_kernels();
#endif
  return portable_cpu_kernels();
}

std::size_t attention_scratch(AttentionShape shape, std::ptrdiff_t length) {
  const auto padded = [](std::ptrdiff_t n) { return (n + 15) / 16 * 16; };
  const std::ptrdiff_t wide = padded(shape.dim), keys = padded(length);
  return static_cast<std::size_t>(4 * keys * wide + 2 * keys * shape.dim + 8 * keys + 12 * wide);
}

}  // namespace troupe::gpu
