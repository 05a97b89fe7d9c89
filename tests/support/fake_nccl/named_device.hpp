#pragma once
// The library made for the tests, and devices that call themselves different, so that one process can be both ends.
#include "gpu/transport/nccl_device.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

namespace troupe::support {

/// Host memory under a name, which counts what is copied: all that is carried from and to elsewhere.
class NamedDevice final : public gpu::NcclDevice {
 public:
  NamedDevice(std::string name, std::shared_ptr<gpu::NcclDevice> real)
      : name_(std::move(name)), real_(std::move(real)) {}
  std::string identity() const override { return name_; }
  std::shared_ptr<gpu::DeviceStream> stream() override { return real_->stream(); }
  std::shared_ptr<float[]> allocate(std::size_t floats) override { return real_->allocate(floats); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    ++copies;
    real_->copy(to, from, bytes);
  }
  bool owns(const void* memory) const override { return real_->owns(memory); }
  void settle() override { real_->settle(); }

  std::atomic<int> copies = 0;

 private:
  const std::string name_;
  const std::shared_ptr<gpu::NcclDevice> real_;
};

inline std::shared_ptr<NamedDevice> fake_device(const std::string& name) {
  return std::make_shared<NamedDevice>(name, gpu::open_nccl(FAKE_NCCL, "cpu")->device);
}

inline std::shared_ptr<const gpu::NcclLibrary> fake_nccl(std::shared_ptr<gpu::NcclDevice> device) {
  return std::make_shared<const gpu::NcclLibrary>(
      gpu::NcclLibrary{gpu::open_nccl(FAKE_NCCL, "cpu")->api, std::move(device)});
}

}  // namespace troupe::support
