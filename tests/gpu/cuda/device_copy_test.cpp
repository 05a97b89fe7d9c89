// On a CUDA runtime made for the test, which puts every copy off until somebody waits for it: who reads or writes a chunk
// that is still under way gets other bytes.
#include "gpu/cuda/device_copy.hpp"

#include "gpu/error.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime_api.h>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("gpu/cuda");

// NOLINTBEGIN(readability-identifier-naming): CUDA gives them these names.
struct CUstream_st {
  std::deque<std::function<void()>> work;
  std::size_t done = 0;  // of all that was ever given
  void run(std::size_t until) {
    for (; done < until; ++done) {
      work.front()();
      work.pop_front();
    }
  }
};
struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::size_t after = 0;
};

namespace {

std::mutex mutex;  // guards the two below
std::set<const void*> pinned;
bool no_memory = false;
std::atomic<int> alive = 0;  // streams, events and chunks

}  // namespace

extern "C" {

cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) {
  return "out of memory";
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  ++alive;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  --alive;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  ++alive;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  --alive;
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  const std::lock_guard lock(mutex);
  if (no_memory) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  pinned.insert(*memory);
  ++alive;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(mutex);
  if (memory != nullptr) --alive;
  pinned.erase(memory);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const std::lock_guard lock(mutex);
  attributes->type = pinned.contains(memory) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  stream->work.emplace_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream->done + stream->work.size()};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream != nullptr) event->stream->run(event->after);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  stream->run(stream->done + stream->work.size());
  return cudaSuccess;
}
}
// NOLINTEND(readability-identifier-naming)

namespace troupe::gpu {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

std::vector<std::uint8_t> bytes_of(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 4096 + i / kChunkBytes * 7);
  return bytes;
}

/// What the test's runtime takes for the device's.
struct DeviceBytes {
  explicit DeviceBytes(std::size_t count) { cudaHostAlloc(&at, count + 1, 0); }
  ~DeviceBytes() { cudaFreeHost(at); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* at = nullptr;
};

/// Host to device, within the device, and back.
bool comes_back(DeviceCopies& copies, std::size_t count) {
  const std::vector<std::uint8_t> sent = bytes_of(count);
  std::vector<std::uint8_t> received(count);
  const DeviceBytes first(count), second(count);
  copies.copy(first.at, sent.data(), count);
  copies.copy(second.at, first.at, count);
  copies.copy(received.data(), second.at, count);
  return received == sent;
}

}  // namespace

TEST_CASE("bytes of every length reach the device and come back through pinned chunks") {
  {
    DeviceCopies copies(0);
    for (const std::size_t count : {std::size_t{1}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1,
                                    2 * kChunkBytes, 3 * kChunkBytes + 7, 6 * kChunkBytes})
      CHECK(comes_back(copies, count));
  }
  CHECK(alive == 0);
}

TEST_CASE("several threads copy at once") {
  DeviceCopies copies(0);
  std::vector<int> right(4);
  std::vector<std::thread> threads;
  for (int& one : right)
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) one += comes_back(copies, 2 * kChunkBytes + 5) ? 1 : 0;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(4, 3));
}

TEST_CASE("memory that cannot be pinned is told and nothing stays behind") {
  {
    DeviceCopies copies(0);
    no_memory = true;
    char to = 0;
    CHECK_THROWS_WITH_AS(copies.copy(&to, &to, 1), "CUDA, pinning memory: out of memory", Error);
    no_memory = false;
  }
  CHECK(alive == 0);
}

}  // namespace troupe::gpu
