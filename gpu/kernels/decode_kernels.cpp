#include "gpu/kernels/decode_kernels.hpp"

#include <vector>

namespace troupe::gpu {

const DecodeKernels& portable_decode_kernels();
#if defined(__x86_64__)
const DecodeKernels& avx512_decode_kernels();
const DecodeKernels& avx2_decode_kernels();
#endif

namespace {

std::vector<const DecodeKernels*> tables() {
  std::vector<const DecodeKernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    found.push_back(&avx512_decode_kernels());
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    found.push_back(&avx2_decode_kernels());
#endif
  found.push_back(&portable_decode_kernels());
  return found;
}

}  // namespace

const DecodeKernels* decode_kernels(std::size_t index) {
  static const std::vector<const DecodeKernels*> all = tables();
  return index < all.size() ? all[index] : nullptr;
}

std::size_t attention_scratch(const HeadShape& shape) {
  return static_cast<std::size_t>(shape.query * (shape.capacity + 1));
}

}  // namespace troupe::gpu
