#pragma once
// Which devices there are, and threads. Everything CUDA lives in libtroupe_cuda.so, which is loaded
// only where a driver is found, so one binary serves machines with and without a GPU.
#include <cstdint>
#include <string>
#include <vector>

namespace troupe::gpu {

struct DeviceReport {
  std::string libtorch_version;
  std::string cuda_status;  // "not built in", "built in, no driver found", "2 devices", or why
                            // loading failed
  std::vector<std::string> devices;  // names of the CUDA devices, by index
  std::string nccl_version;          // empty without the CUDA library
};

/// Looks for a driver and loads libtroupe_cuda.so once. Safe from any thread.
const DeviceReport& probe_devices();

/// "auto" -> "cuda:0" if there is one, else "cpu"; "cuda" -> "cuda:0". Errors: throws gpu::Error
/// naming what is there if the asked device is not.
std::string resolve_device(const std::string& wanted);

/// Number of threads LibTorch uses for work called from this thread. Each computing actor calls it
/// first.
void set_compute_threads(int threads);
int compute_threads();

/// GFLOP/s of a 512^3 float32 matrix product on this thread; a reference BLAS gives about 3.
double matmul_gflops();

}  // namespace troupe::gpu
