#include "gpu/cuda/cuda_library.hpp"
#include "gpu/cuda/first_kernel.hpp"

#include <cstdio>
#include <cuda_runtime_api.h>
#include <nccl.h>

namespace {

std::string device_line(const cudaDeviceProp& device) {
  constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
  char text[sizeof(device.name) + 64];
  std::snprintf(text, sizeof(text), "%s (%.0f GiB, compute capability %d.%d)", device.name,
                static_cast<double>(device.totalGlobalMem) / kGib, device.major, device.minor);
  return text;
}

std::string nccl_version() {
  int version = 0;  // major * 10000 + minor * 100 + patch
  if (ncclGetVersion(&version) != ncclSuccess) return "";
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace

void troupe_cuda_describe(troupe::gpu::DeviceReport& report) {
  report.nccl_version = nccl_version();
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  for (int i = 0; error == cudaSuccess && i < count; ++i) {
    cudaDeviceProp device{};
    error = cudaGetDeviceProperties(&device, i);
    report.devices.push_back(device_line(device));
  }
  report.cuda_status = std::to_string(count) + (count == 1 ? " device" : " devices");
  if (error == cudaSuccess) return;
  report.devices.clear();
  report.cuda_status = std::string("loaded, but ") + cudaGetErrorString(error);
}

void troupe_cuda_check(int device, std::string& problem) {
  const cudaError_t error = troupe::gpu::run_first_kernel(device);
  problem = error == cudaSuccess ? "" : cudaGetErrorString(error);
}
