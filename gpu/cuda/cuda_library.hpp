#pragma once
// Finding a driver and loading libtroupe_cuda.so, the only code that needs CUDA or NCCL.
#include "gpu/device.hpp"

#include <memory>
#include <string>

namespace troupe::gpu {
class NcclDevice;
}

// What libtroupe_cuda.so exports. C names, so that they are found by dlsym.
extern "C" {
/// Fills cuda_status, devices and nccl_version.
void troupe_cuda_describe(troupe::gpu::DeviceReport& report);
/// Runs a small kernel on the device with this index; leaves `problem` empty if that worked.
void troupe_cuda_check(int device, std::string& problem);
/// Memory and streams of the device with this index, for NCCL; or why there are none.
void troupe_cuda_nccl_device(int device, std::shared_ptr<troupe::gpu::NcclDevice>& made,
                             std::string& problem);
}

namespace troupe::gpu {

/// File names or paths, looked up as dlopen does.
struct CudaFiles {
  std::string driver;
  std::string library;  // empty: this build has none
};

/// What libtroupe_cuda.so says about this machine, and its check of a device. Without library or
/// driver the report has no devices and says why.
struct CudaLibrary {
  DeviceReport report;
  decltype(&troupe_cuda_check) check = nullptr;  // null if and only if nothing was loaded
  decltype(&troupe_cuda_nccl_device) nccl_device = nullptr;  // likewise
};

/// Loads the library for good if the driver starts: it registers kernels with LibTorch, which
/// cannot be undone.
CudaLibrary load_cuda(const CudaFiles& files);

/// The device meant by `wanted`, as resolve_device() says, among those of a library that may offer
/// none.
std::string choose_device(const std::string& wanted, const CudaLibrary& cuda);

/// Of "cuda:N" on this machine. Errors: throws gpu::Error if it is none, or has a problem.
std::shared_ptr<NcclDevice> cuda_nccl_device(const std::string& device);

}  // namespace troupe::gpu
