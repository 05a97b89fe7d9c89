#define TROUPE_ISA avx512
#include "gpu/training/cpu_kernels_impl.hpp"

namespace troupe::gpu {

const CpuKernels& avx512_cpu_kernels() {
  static constexpr CpuKernels kTable = avx512::table("avx512");
  return kTable;
}

}  // namespace troupe::gpu
