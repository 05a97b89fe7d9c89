// A libtroupe_cuda.so that describes two devices, of which the second one is out of order.
#include "gpu/cuda/cuda_library.hpp"

void troupe_cuda_describe(troupe::gpu::DeviceReport& report) {
  report.cuda_status = "2 devices";
  report.devices = {"first", "second"};
  report.nccl_version = "2.28.9";
}

void troupe_cuda_check(int device, std::string& problem) {
  problem = device == 1 ? "out of memory" : "";
}

void troupe_cuda_nccl_device(int, std::shared_ptr<troupe::gpu::NcclDevice>&, std::string& problem) {
  problem = "no NCCL here";
}
