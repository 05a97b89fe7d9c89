#pragma once
// Copies between a CUDA device and the machine's memory, part of libtroupe_cuda.so.
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe::gpu {

/// On streams of its own, so that a copy waits for nothing else that the device does. What is not
/// pinned goes through two pinned chunks: the device works on one while the other is copied by this
/// thread. Safe from any thread. Errors: gpu::Error.
class DeviceCopies {
 public:
  explicit DeviceCopies(int device);
  ~DeviceCopies();
  DeviceCopies(const DeviceCopies&) = delete;
  DeviceCopies& operator=(const DeviceCopies&) = delete;

  void copy(void* to, const void* from, std::size_t bytes);

 private:
  class Lane;

  const int device_;
  std::mutex mutex_;  // guards idle_
  std::vector<std::unique_ptr<Lane>> idle_;
};

}  // namespace troupe::gpu
