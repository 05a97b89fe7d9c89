#define TROUPE_ISA avx2
#include "gpu/training/cpu_kernels_impl.hpp"

namespace troupe::gpu {

const CpuKernels& avx2_cpu_kernels() {
  static constexpr CpuKernels kTable = avx2::table("avx2");
  return kTable;
}

}  // namespace troupe::gpu
