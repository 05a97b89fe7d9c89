#pragma once
#include <cuda_runtime_api.h>

namespace troupe::gpu {

/// Runs a kernel on the device and reads back what it wrote: fails early where the device is busy,
/// full, or of a kind that this build has no code for. Makes it the current device of the calling
/// thread.
cudaError_t run_first_kernel(int device);

}  // namespace troupe::gpu
