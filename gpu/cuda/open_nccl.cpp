#include "gpu/cuda/cuda_library.hpp"
#include "gpu/error.hpp"
#include "gpu/transport/nccl_device.hpp"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <unistd.h>

namespace troupe::gpu {
namespace {

using HostIdle = bool (*)(void* stream);

class HostStream final : public DeviceStream {
 public:
  explicit HostStream(HostIdle idle_of) : idle_(idle_of) {}
  void* handle() override { return this; }
  float* scratch() override { return &scratch_; }
  bool idle() override { return idle_(this); }

 private:
  const HostIdle idle_;
  float scratch_ = 0;
};

/// Of libraries that move the machine's own memory.
class HostDevice final : public NcclDevice {
 public:
  explicit HostDevice(HostIdle idle) : idle_(idle) {}
  std::string identity() const override { return "host:" + std::to_string(getpid()); }
  std::shared_ptr<DeviceStream> stream() override { return std::make_shared<HostStream>(idle_); }
  std::shared_ptr<float[]> allocate(std::size_t floats) override {
    return std::shared_ptr<float[]>(new float[floats]);
  }
  void copy(float* to, const float* from, std::size_t floats) override {
    std::copy_n(from, floats, to);
  }

 private:
  const HostIdle idle_;
};

HostIdle host_idle(const std::string& file) {
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  return library == nullptr ? nullptr
                            : reinterpret_cast<HostIdle>(dlsym(library, "troupe_nccl_host_idle"));
}

}  // namespace

std::shared_ptr<const NcclLibrary> open_nccl(const std::string& file, const std::string& device) {
  NcclLibrary library;
  library.api = load_nccl(file);
  if (const HostIdle idle = host_idle(file))
    library.device = std::make_shared<HostDevice>(idle);
  else
    library.device = cuda_nccl_device(device);
  return std::make_shared<const NcclLibrary>(std::move(library));
}

}  // namespace troupe::gpu
