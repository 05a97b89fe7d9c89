#include "gpu/transport/thread_communicator.hpp"

#include "gpu/transport/meeting_point.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe::gpu {
namespace {

float* floats(const Call& call) {
  return reinterpret_cast<float*>(call.data);
}

/// The sum over ranks of [first, first + count), into the buffers of ranks [to_first, to_last].
void add(const std::vector<Call>& calls, FlatRange range, std::size_t to_first,
         std::size_t to_last) {
  std::array<float, 2048> sums;  // stays in the cache while every rank's part goes by
  for (std::size_t at = range.first; at < range.first + range.count; at += sums.size()) {
    const std::size_t count = std::min(sums.size(), range.first + range.count - at);
    std::copy_n(floats(calls[0]) + at, count, sums.begin());
    for (std::size_t rank = 1; rank < calls.size(); ++rank) {
      const float* values = floats(calls[rank]) + at;
      for (std::size_t i = 0; i < count; ++i) sums[i] += values[i];
    }
    for (std::size_t rank = to_first; rank <= to_last; ++rank)
      std::copy_n(sums.begin(), count, floats(calls[rank]) + at);
  }
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<MeetingPoint> point, int rank, int size)
      : point_(std::move(point)), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce_sum(std::span<float> values) override {
    point_->meet(rank_, call("all_reduce_sum", std::as_writable_bytes(values)));
    const std::size_t block = shard_length(values.size(), size_);
    add(point_->calls(), block_of(rank_, block, values.size()), 0, point_->calls().size() - 1);
    point_->part();
  }

  void reduce_scatter_sum(std::span<float> values, std::size_t block) override {
    point_->meet(rank_, call("reduce_scatter_sum", std::as_writable_bytes(values), block));
    const auto self = static_cast<std::size_t>(rank_);
    add(point_->calls(), block_of(rank_, block, values.size()), self, self);
    point_->part();
  }

  void all_gather(std::span<std::byte> all, std::size_t block) override {
    point_->meet(rank_, call("all_gather", all, block));
    for (int other = 0; other < size_; ++other) {
      if (other == rank_) continue;
      const FlatRange range = block_of(other, block, all.size());
      if (range.count > 0)
        std::memcpy(all.data() + range.first,
                    point_->calls()[static_cast<std::size_t>(other)].data + range.first,
                    range.count);
    }
    point_->part();
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    point_->meet(rank_, call("broadcast", bytes, 0, root));
    if (root != rank_ && !bytes.empty())
      std::memcpy(bytes.data(), point_->calls()[static_cast<std::size_t>(root)].data, bytes.size());
    point_->part();
  }

  void barrier() override {
    point_->meet(rank_, call("barrier", {}));
    point_->part();
  }

  void abort(const std::string& why) override { point_->abort(why); }

 private:
  static Call call(const char* name, std::span<std::byte> bytes, std::size_t block = 0,
                   int root = 0) {
    return {name, bytes.data(), bytes.size(), block, root};
  }

  const std::shared_ptr<MeetingPoint> point_;
  const int rank_, size_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(
    int size, std::chrono::milliseconds deadline) {
  const auto point = std::make_shared<MeetingPoint>(size, deadline);
  std::vector<std::unique_ptr<Communicator>> ends;
  for (int rank = 0; rank < size; ++rank)
    ends.push_back(std::make_unique<ThreadCommunicator>(point, rank, size));
  return ends;
}

}  // namespace troupe::gpu
