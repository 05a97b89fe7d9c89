#include "gpu/cuda/first_kernel.hpp"

namespace troupe::gpu {
namespace {

constexpr int kWritten = 42;

__global__ void write_cell(int* cell) {
  *cell = kWritten;
}

cudaError_t write_and_read(int* cell) {
  write_cell<<<1, 1>>>(cell);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  int read = 0;
  const cudaError_t error = cudaMemcpy(&read, cell, sizeof(read), cudaMemcpyDeviceToHost);
  if (error != cudaSuccess) return error;
  return read == kWritten ? cudaSuccess : cudaErrorUnknown;
}

}  // namespace

cudaError_t run_first_kernel(int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  int* cell = nullptr;
  if (const cudaError_t error = cudaMalloc(&cell, sizeof(*cell)); error != cudaSuccess)
    return error;
  const cudaError_t error = write_and_read(cell);
  const cudaError_t freed = cudaFree(cell);
  return error != cudaSuccess ? error : freed;
}

}  // namespace troupe::gpu
