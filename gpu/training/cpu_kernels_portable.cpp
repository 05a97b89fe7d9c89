#define TROUPE_ISA portable
#include "gpu/training/cpu_kernels_impl.hpp"

namespace troupe::gpu {

const CpuKernels& portable_cpu_kernels() {
  static constexpr CpuKernels kTable = portable::table("portable");
  return kTable;
}

}  // namespace troupe::gpu
