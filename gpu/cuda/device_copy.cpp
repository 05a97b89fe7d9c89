#include "gpu/cuda/device_copy.hpp"

#include "gpu/cuda/cuda_check.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr std::size_t kChunk = std::size_t{4} << 20;

/// Whether the device would have to copy it to pinned memory by itself.
bool pageable(const void* memory) {
  cudaPointerAttributes attributes{};
  require(cudaPointerGetAttributes(&attributes, memory), "asking whose memory it is");
  return attributes.type == cudaMemoryTypeUnregistered;
}

}  // namespace

/// A stream and two chunks, used by one thread at a time.
class DeviceCopies::Lane {
 public:
  Lane() {
    try {
      require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
      for (std::size_t i = 0; i < chunks_.size(); ++i) {
        require(cudaHostAlloc(&chunks_[i], kChunk, cudaHostAllocDefault), "pinning memory");
        require(cudaEventCreateWithFlags(&done_[i], cudaEventDisableTiming), "making an event");
      }
    } catch (...) {
      free_all();
      throw;
    }
  }
  ~Lane() { free_all(); }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void copy(void* to, const void* from, std::size_t bytes) {
    if (pageable(from))
      to_device(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes);
    else if (pageable(to))
      to_host(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes);
    else
      give(to, from, bytes);
    require(cudaStreamSynchronize(stream_), "copying");
  }

 private:
  void to_device(std::byte* to, const std::byte* from, std::size_t bytes) {
    for (std::size_t at = 0, k = 0; at < bytes; at += kChunk, ++k) {
      const std::size_t length = std::min(kChunk, bytes - at), lane = k % chunks_.size();
      if (k >= chunks_.size()) wait(lane);  // until the device has read what was in it
      std::memcpy(chunks_[lane], from + at, length);
      give(to + at, chunks_[lane], length);
      mark(lane);
    }
  }

  void to_host(std::byte* to, const std::byte* from, std::size_t bytes) {
    const auto fetch = [&](std::size_t k) {
      const std::size_t at = k * kChunk, lane = k % chunks_.size();
      if (at >= bytes) return;
      give(chunks_[lane], from + at, std::min(kChunk, bytes - at));
      mark(lane);
    };
    for (std::size_t k = 0; k < chunks_.size(); ++k) fetch(k);
    for (std::size_t at = 0, k = 0; at < bytes; at += kChunk, ++k) {
      const std::size_t lane = k % chunks_.size();
      wait(lane);
      std::memcpy(to + at, chunks_[lane], std::min(kChunk, bytes - at));
      fetch(k + chunks_.size());
    }
  }

  void give(void* to, const void* from, std::size_t bytes) {
    require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "copying");
  }
  void mark(std::size_t lane) { require(cudaEventRecord(done_[lane], stream_), "copying"); }
  void wait(std::size_t lane) { require(cudaEventSynchronize(done_[lane]), "copying"); }

  void free_all() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    for (cudaEvent_t event : done_)
      if (event != nullptr) cudaEventDestroy(event);
    for (void* chunk : chunks_) cudaFreeHost(chunk);
  }

  cudaStream_t stream_ = nullptr;
  std::array<void*, 2> chunks_{};
  std::array<cudaEvent_t, 2> done_{};  // what the device does with a chunk
};

DeviceCopies::DeviceCopies(int device) : device_(device) {}

DeviceCopies::~DeviceCopies() = default;

/// After an error the lane is given up: nobody knows what is still under way on it.
void DeviceCopies::copy(void* to, const void* from, std::size_t bytes) {
  require(cudaSetDevice(device_), "choosing the device");
  std::unique_ptr<Lane> lane;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      lane = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!lane) lane = std::make_unique<Lane>();
  lane->copy(to, from, bytes);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(lane));
}

}  // namespace troupe::gpu
