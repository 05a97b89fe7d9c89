#pragma once
// Rings of ranks in one process whose streams are queues in memory.
#include "gpu/transport/ring_communicator.hpp"
#include "tests/support/ranks.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace troupe::support {

/// Bytes in one direction.
struct Pipe {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::byte> bytes;
  std::string closed;
};

class MemoryStream final : public gpu::ByteStream {
 public:
  MemoryStream(std::shared_ptr<Pipe> out, std::shared_ptr<Pipe> in)
      : out_(std::move(out)), in_(std::move(in)) {}

  std::string send(std::span<const std::byte> bytes, Time deadline) override {
    std::unique_lock lock(out_->mutex);
    const bool room = out_->changed.wait_until(
        lock, deadline, [&] { return out_->bytes.size() <= kQueueBytes || !out_->closed.empty(); });
    if (!out_->closed.empty()) return out_->closed;
    if (!room) return "takes nothing any more";
    out_->bytes.insert(out_->bytes.end(), bytes.begin(), bytes.end());
    out_->changed.notify_all();
    return "";
  }
  std::string receive(std::span<std::byte> bytes, Time deadline) override {
    std::unique_lock lock(in_->mutex);
    const bool here = in_->changed.wait_until(
        lock, deadline, [&] { return in_->bytes.size() >= bytes.size() || !in_->closed.empty(); });
    if (!in_->closed.empty()) return in_->closed;
    if (!here) return "sent nothing in time";
    const auto end = in_->bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size());
    std::copy(in_->bytes.begin(), end, bytes.begin());
    in_->bytes.erase(in_->bytes.begin(), end);
    in_->changed.notify_all();
    return "";
  }
  void close(const std::string& why) override {
    for (Pipe* pipe : {out_.get(), in_.get()}) {
      const std::lock_guard lock(pipe->mutex);
      if (pipe->closed.empty()) pipe->closed = why;
      pipe->changed.notify_all();
    }
  }

 private:
  std::shared_ptr<Pipe> out_, in_;
};

inline Ends memory_ring(int size, std::chrono::milliseconds deadline) {
  std::vector<std::shared_ptr<gpu::ByteStream>> nexts, previous;  // of link rank -> rank + 1
  for (int rank = 0; rank < size; ++rank) {
    const auto forth = std::make_shared<Pipe>(), back = std::make_shared<Pipe>();
    nexts.push_back(std::make_shared<MemoryStream>(forth, back));
    previous.push_back(std::make_shared<MemoryStream>(back, forth));
  }
  if (size == 2) {  // both ways over one connection
    nexts[1] = previous[0];
    previous[1] = nexts[0];
  }
  Ends ends;
  for (int rank = 0; rank < size; ++rank) {
    const auto here = static_cast<std::size_t>(rank);
    const auto before = static_cast<std::size_t>((rank + size - 1) % size);
    ends.push_back(
        gpu::make_ring_communicator({rank, size, nexts[here], previous[before]}, deadline));
  }
  return ends;
}

}  // namespace troupe::support
