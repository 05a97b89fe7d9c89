#pragma once
#include "gpu/error.hpp"

#include <cuda_runtime_api.h>
#include <string>

namespace troupe::gpu {

/// Errors: gpu::Error with what was being done and CUDA's words.
inline void require(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  throw Error(std::string("CUDA, ") + doing + ": " + cudaGetErrorString(error));
}

}  // namespace troupe::gpu
