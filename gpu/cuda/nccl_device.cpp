// The memory and streams of a CUDA device, for NCCL.
#include "gpu/transport/nccl_device.hpp"

#include "gpu/cuda/cuda_check.hpp"
#include "gpu/cuda/cuda_library.hpp"
#include "gpu/cuda/device_copy.hpp"

#include <cstdio>
#include <cstdlib>
#include <cuda_runtime_api.h>
#include <new>

namespace {

using troupe::gpu::DeviceStream;
using troupe::gpu::require;

std::shared_ptr<float[]> allocate_on(int device, std::size_t floats) {
  require(cudaSetDevice(device), "choosing the device");
  void* memory = nullptr;
  require(cudaMalloc(&memory, floats * sizeof(float)), "taking memory");
  return {static_cast<float*>(memory), [device](float* at) {
            cudaSetDevice(device);
            cudaFree(at);
          }};
}

/// One that waits for no other stream.
class Stream final : public DeviceStream {
 public:
  explicit Stream(int device) : device_(device) {
    require(cudaSetDevice(device), "choosing the device");
    require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() override {
    cudaSetDevice(device_);
    cudaStreamDestroy(stream_);
  }
  void* handle() override {
    require(cudaSetDevice(device_),
            "choosing the device");  // of the thread that is about to use it
    return stream_;
  }
  float* scratch() override {
    if (!scratch_) scratch_ = allocate_on(device_, 1);
    return scratch_.get();
  }
  bool idle() override {
    const cudaError_t state = cudaStreamQuery(stream_);
    if (state == cudaErrorNotReady) return false;
    require(state, "a stream's work");
    return true;
  }

 private:
  const int device_;
  std::shared_ptr<float[]> scratch_;  // null: nobody has asked for it
  cudaStream_t stream_ = nullptr;
};

class Device final : public troupe::gpu::NcclDevice {
 public:
  explicit Device(int index) : index_(index), copies_(index) {
    cudaDeviceProp properties{};
    require(cudaGetDeviceProperties(&properties, index), "describing the device");
    char hex[3];
    for (const char byte : properties.uuid.bytes) {
      std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(byte));
      identity_ += hex;
    }
    const char* const host = std::getenv("NCCL_HOSTID");  // who sets it makes two machines of one
    if (host != nullptr) identity_ += std::string("@") + host;
  }
  std::string identity() const override { return "cuda:" + identity_; }
  std::shared_ptr<DeviceStream> stream() override { return std::make_shared<Stream>(index_); }
  std::shared_ptr<float[]> allocate(std::size_t floats) override {
    return allocate_on(index_, floats);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    copies_.copy(to, from, bytes);
  }
  bool owns(const void* memory) const override {
    cudaPointerAttributes attributes{};
    require(cudaPointerGetAttributes(&attributes, memory), "asking whose memory it is");
    return attributes.type == cudaMemoryTypeDevice && attributes.device == index_;
  }
  void settle() override {
    require(cudaSetDevice(index_), "choosing the device");
    require(cudaDeviceSynchronize(), "what it was given");
  }

 private:
  const int index_;
  troupe::gpu::DeviceCopies copies_;
  std::string identity_;
};

}  // namespace

void troupe_cuda_nccl_device(int device, std::shared_ptr<troupe::gpu::NcclDevice>& made,
                             std::string& problem) {
  try {
    made = std::make_shared<Device>(device);
  } catch (const std::exception& error) {
    problem = error.what();
  }
}
