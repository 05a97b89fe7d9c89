#include "gpu/transport/staged_communicator.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <future>
#include <span>
#include <utility>
#include <vector>

namespace troupe::gpu {
namespace {

using Bytes = std::span<std::byte>;

/// What is done to each part of a buffer, by its number.
struct Stages {
  std::function<void(std::size_t)> fill, exchange, empty;
};

/// Part after part: `exchange` by this thread, beside it what is before and after it by another.
void pass(std::size_t parts, const Stages& stages) {
  if (parts == 0) return;
  stages.fill(0);
  for (std::size_t k = 0; k < parts; ++k) {
    const bool first = k == 0, last = k + 1 == parts;
    std::future<void> beside;
    if (!first || !last)
      beside = std::async(std::launch::async, [&, k] {
        if (!first) stages.empty(k - 1);
        if (!last) stages.fill(k + 1);
      });
    stages.exchange(k);
    if (beside.valid()) beside.get();
  }
  stages.empty(parts - 1);
}

/// The blocks of all ranks, cut so that a slice of each fits into a bucket.
struct BlockSlices {
  std::size_t total, block, width;  // bytes; of a slice at most

  std::size_t parts() const { return total == 0 ? 0 : (block + width - 1) / width; }
  /// Of the first rank: as long as those of all ranks but the last that have one.
  std::size_t width_of(std::size_t k) const { return of(0, k).count; }
  FlatRange of(int rank, std::size_t k) const {
    const FlatRange whole = block_of(rank, block, total);
    const std::size_t skipped = std::min(k * width, whole.count);
    return {whole.first + skipped, std::min(width, whole.count - skipped)};
  }
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> inner, std::shared_ptr<NcclDevice> device,
                     std::size_t bucket_floats)
      : inner_(std::move(inner)),
        device_(std::move(device)),
        bucket_bytes_(bucket_floats * sizeof(float)),
        memory_{device_->allocate(bucket_floats), device_->allocate(bucket_floats)} {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  bool reaches_devices() const override { return true; }

  void all_reduce_sum(std::span<float> values) override {
    if (lies_there(values.data())) return inner_->all_reduce_sum(values);
    pieces(std::as_writable_bytes(values), true, true,
           [this](Bytes bucket) { inner_->all_reduce_sum(floats(bucket)); });
  }

  void reduce_scatter_sum(std::span<float> values, std::size_t block) override {
    if (lies_there(values.data())) return inner_->reduce_scatter_sum(values, block);
    blocks(std::as_writable_bytes(values), block * sizeof(float), true,
           [this](Bytes bucket, std::size_t width) {
             inner_->reduce_scatter_sum(floats(bucket), width / sizeof(float));
           });
  }

  void all_gather(Bytes all, std::size_t block) override {
    if (lies_there(all.data())) return inner_->all_gather(all, block);
    blocks(all, block, false,
           [this](Bytes bucket, std::size_t width) { inner_->all_gather(bucket, width); });
  }

  void broadcast(Bytes bytes, int root) override {
    if (lies_there(bytes.data())) return inner_->broadcast(bytes, root);
    const bool from_here = rank() == root;
    pieces(bytes, from_here, !from_here,
           [this, root](Bytes bucket) { inner_->broadcast(bucket, root); });
  }

  void barrier() override { inner_->barrier(); }
  void abort(const std::string& why) override { inner_->abort(why); }

 private:
  bool lies_there(const void* memory) {
    if (memory == nullptr || !device_->owns(memory)) return false;
    device_->settle();
    return true;
  }

  std::byte* bucket(std::size_t k) {
    return reinterpret_cast<std::byte*>(memory_[k % memory_.size()].get());
  }
  static std::span<float> floats(Bytes bytes) {
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
  }
  void move(std::byte* to, const std::byte* from, std::size_t bytes) {
    if (bytes > 0) device_->copy(to, from, bytes);
  }

  /// A buffer that all ranks treat alike, a bucket at a time.
  void pieces(Bytes all, bool in, bool out, const std::function<void(Bytes)>& work) {
    const auto piece = [&](std::size_t k) {
      const std::size_t at = k * bucket_bytes_;
      return all.subspan(at, std::min(bucket_bytes_, all.size() - at));
    };
    pass((all.size() + bucket_bytes_ - 1) / bucket_bytes_,
         {[&](std::size_t k) {
            if (in) move(bucket(k), piece(k).data(), piece(k).size());
          },
          [&](std::size_t k) {
            work({bucket(k), piece(k).size()});
          },
          [&](std::size_t k) {
            if (out) move(piece(k).data(), bucket(k), piece(k).size());
          }});
  }

  /// A buffer of one block per rank: in a bucket lie the slices of all, one after the other. A sum
  /// takes all in and this rank's out, a gathering the other way round.
  void blocks(Bytes all, std::size_t block, bool sum,
              const std::function<void(Bytes, std::size_t width)>& work) {
    // whole floats, and as many for each rank
    const std::size_t share = bucket_bytes_ / static_cast<std::size_t>(size());
    const BlockSlices slices{all.size(), block, share / sizeof(float) * sizeof(float)};
    const auto for_ranks = [&](bool everyone, std::size_t k, const auto& act) {
      std::byte* at = bucket(k);
      for (int r = 0; r < size(); ++r) {
        const FlatRange slice = slices.of(r, k);
        if (everyone || r == rank()) act(all.data() + slice.first, at, slice.count);
        at += slice.count;
      }
    };
    const auto length = [&](std::size_t k) {
      std::size_t bytes = 0;
      for (int r = 0; r < size(); ++r) bytes += slices.of(r, k).count;
      return bytes;
    };
    pass(slices.parts(),
         {[&](std::size_t k) {
            for_ranks(sum, k, [&](std::byte* here, std::byte* there, std::size_t n) {
              move(there, here, n);
            });
          },
          [&](std::size_t k) {
            work({bucket(k), length(k)}, slices.width_of(k));
          },
          [&](std::size_t k) {
            for_ranks(!sum, k, [&](std::byte* here, std::byte* there, std::size_t n) {
              move(here, there, n);
            });
          }});
  }

  const std::unique_ptr<Communicator> inner_;
  const std::shared_ptr<NcclDevice> device_;
  const std::size_t bucket_bytes_;
  const std::array<std::shared_ptr<float[]>, 2> memory_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> inner,
                                                       std::shared_ptr<NcclDevice> device,
                                                       std::size_t bucket_floats) {
  return std::make_unique<StagedCommunicator>(std::move(inner), std::move(device), bucket_floats);
}

}  // namespace troupe::gpu
