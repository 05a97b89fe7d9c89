#include "gpu/transport/ring_communicator.hpp"

#include "gpu/transport/ring_channel.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace troupe::gpu {
namespace {

constexpr std::size_t kSliceBytes = 256 << 10;
constexpr std::size_t kSliceFloats = kSliceBytes / sizeof(float);

enum Kind : std::uint32_t { all_reduce = 1, reduce_scatter, gather, copy, meeting };

/// A part of a sum that travels as one message.
struct Slice {
  FlatRange range;
  int reach = 0;  // the last of ranks 0 .. size - 2 that gets the result; -1: none of them
};

std::size_t slices_in(std::size_t bytes) {
  return (bytes + kSliceBytes - 1) / kSliceBytes;
}

class RingCommunicator final : public Communicator {
 public:
  RingCommunicator(RingPlace place, std::chrono::milliseconds deadline)
      : rank_(place.rank), size_(place.size), channel_(std::move(place), deadline) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce_sum(std::span<float> values) override {
    channel_.begin("all_reduce_sum", all_reduce);
    std::vector<Slice> slices;
    cut({0, values.size()}, size_ - 2, slices);
    sum(values, slices);
  }

  void reduce_scatter_sum(std::span<float> values, std::size_t block) override {
    channel_.begin("reduce_scatter_sum", reduce_scatter);
    std::vector<Slice> slices;
    for (int owner = 0; owner < size_; ++owner)
      cut(block_of(owner, block, values.size()), owner == last() ? -1 : owner, slices);
    sum(values, slices);
  }

  void all_gather(std::span<std::byte> all, std::size_t block) override {
    channel_.begin("all_gather", gather);
    pass_round(all, block);
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    channel_.begin("broadcast", copy);
    const int place = (rank_ + size_ - root) % size_;  // along the ring, from the root
    for (std::size_t at = 0; at < bytes.size() && size_ > 1; at += kSliceBytes) {
      const auto slice = bytes.subspan(at, std::min(kSliceBytes, bytes.size() - at));
      if (place > 0) channel_.receive(slice);
      if (place < last()) channel_.send(slice);
    }
  }

  void barrier() override {
    channel_.begin("barrier", meeting);
    std::vector<std::byte> marks(static_cast<std::size_t>(size_));
    pass_round(marks, 1);
  }

  void abort(const std::string& why) override { channel_.abort(why); }

 private:
  int last() const { return size_ - 1; }

  static void cut(FlatRange range, int reach, std::vector<Slice>& slices) {
    for (std::size_t at = 0; at < range.count; at += kSliceFloats)
      slices.push_back({{range.first + at, std::min(kSliceFloats, range.count - at)}, reach});
  }

  /// So many slices travel at once: enough for every link, and less than a stream must take.
  std::size_t window() const {
    return std::min(static_cast<std::size_t>(2 * size_),
                    ByteStream::kQueueBytes / (2 * kSliceBytes));
  }

  /// The last rank turns sums into results at once; the others see a slice's result `window` slices
  /// after they passed on its sum, in the order that rank 0 sets.
  void sum(std::span<float> values, const std::vector<Slice>& slices) {
    if (size_ == 1) return;
    const std::size_t delay = rank_ == last() ? 0 : window();
    for (std::size_t k = 0; k < slices.size() + delay; ++k) {
      if (k < slices.size()) add(values, slices[k]);
      if (rank_ != last() && k >= delay) take_result(values, slices[k - delay]);
    }
  }

  void add(std::span<float> values, const Slice& slice) {
    const auto own = values.subspan(slice.range.first, slice.range.count);
    if (rank_ == 0) return channel_.send(std::as_bytes(own));
    sum_.resize(own.size());
    channel_.receive(std::as_writable_bytes(std::span(sum_)));
    for (std::size_t i = 0; i < own.size(); ++i) sum_[i] += own[i];
    if (rank_ != last()) return channel_.send(std::as_bytes(std::span(sum_)));
    std::copy(sum_.begin(), sum_.end(), own.begin());
    if (slice.reach >= 0) channel_.send(std::as_bytes(own));
  }

  void take_result(std::span<float> values, const Slice& slice) {
    if (slice.reach < rank_) return;
    const auto own = values.subspan(slice.range.first, slice.range.count);
    channel_.receive(std::as_writable_bytes(own));
    if (slice.reach > rank_) channel_.send(std::as_bytes(own));
  }

  /// Each block goes round, from its rank to the one before it.
  void pass_round(std::span<std::byte> all, std::size_t block) {
    for (int step = 0; step + 1 < size_; ++step) {
      const FlatRange out = block_of((rank_ + size_ - step) % size_, block, all.size());
      const FlatRange in = block_of((rank_ + 2 * size_ - step - 1) % size_, block, all.size());
      for (std::size_t k = 0; k < std::max(slices_in(out.count), slices_in(in.count)); ++k) {
        if (k < slices_in(out.count)) channel_.send(slice_of(all, out, k));
        if (k < slices_in(in.count)) channel_.receive(slice_of(all, in, k));
      }
    }
  }

  static std::span<std::byte> slice_of(std::span<std::byte> all, FlatRange block, std::size_t k) {
    const std::size_t at = k * kSliceBytes;
    return all.subspan(block.first + at, std::min(kSliceBytes, block.count - at));
  }

  const int rank_, size_;
  RingChannel channel_;
  std::vector<float> sum_;
};

}  // namespace

std::unique_ptr<Communicator> make_ring_communicator(RingPlace place,
                                                     std::chrono::milliseconds deadline) {
  return std::make_unique<RingCommunicator>(std::move(place), deadline);
}

}  // namespace troupe::gpu
