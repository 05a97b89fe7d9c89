#include "gpu/cuda/cuda_library.hpp"
#include "gpu/error.hpp"
#include "gpu/transport/nccl_device.hpp"

#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
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

/// What a device has handed out. Safe from any thread.
class Allocations {
 public:
  void add(const float* at, std::size_t floats) {
    const std::lock_guard lock(mutex_);
    ends_[at] = at + floats;
  }
  void remove(const float* at) {
    const std::lock_guard lock(mutex_);
    ends_.erase(at);
  }
  bool hold(const void* memory) const {
    const std::lock_guard lock(mutex_);
    const auto* const at = static_cast<const float*>(memory);
    const auto after = ends_.upper_bound(at);
    return after != ends_.begin() && std::less<>()(at, std::prev(after)->second);
  }

 private:
  mutable std::mutex mutex_;
  std::map<const float*, const float*, std::less<>> ends_;  // by beginning
};

/// Of libraries that move the machine's own memory: of that what was allocated here is the device's.
class HostDevice final : public NcclDevice {
 public:
  explicit HostDevice(HostIdle idle) : idle_(idle) {}
  std::string identity() const override { return "host:" + std::to_string(getpid()); }
  std::shared_ptr<DeviceStream> stream() override { return std::make_shared<HostStream>(idle_); }
  std::shared_ptr<float[]> allocate(std::size_t floats) override {
    auto* const at = new float[floats];
    allocations_->add(at, floats);
    return {at, [allocations = allocations_](float* gone) {
              allocations->remove(gone);
              delete[] gone;
            }};
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  bool owns(const void* memory) const override { return allocations_->hold(memory); }
  void settle() override {}

 private:
  const HostIdle idle_;
  const std::shared_ptr<Allocations> allocations_ = std::make_shared<Allocations>();
};

HostIdle host_idle(const std::string& file) {
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  return library == nullptr ? nullptr
                            : reinterpret_cast<HostIdle>(dlsym(library, "troupe_nccl_host_idle"));
}

}  // namespace

std::shared_ptr<const NcclLibrary> open_nccl(const std::string& file, const std::string& device) {
  probe_devices();  // what is loaded for a GPU brings an NCCL along, and that is then found by its name
  NcclLibrary library;
  library.api = load_nccl(file);
  if (const HostIdle idle = host_idle(file))
    library.device = std::make_shared<HostDevice>(idle);
  else
    library.device = cuda_nccl_device(device);
  return std::make_shared<const NcclLibrary>(std::move(library));
}

}  // namespace troupe::gpu
