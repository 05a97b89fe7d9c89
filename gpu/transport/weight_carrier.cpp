#include "gpu/transport/weight_carrier.hpp"

#include <future>
#include <utility>

namespace troupe::gpu {

WeightCarrier::WeightCarrier(Communicator& link, std::array<std::span<float>, 2> buckets, Copy copy)
    : link_(link), buckets_(buckets), copy_(std::move(copy)) {}

void WeightCarrier::send(std::span<const float> weights) {
  const auto fill = [&](std::size_t k) {
    const FlatRange range = part(k, weights.size());
    copy_(buckets_[k % 2].data(), weights.data() + range.first, range.count);
  };
  std::future<void> filled = std::async(std::launch::async, fill, 0);
  for (std::size_t k = 0; k < parts(weights.size()); ++k) {
    filled.get();
    filled = std::async(std::launch::async, fill, k + 1);  // of the last part: nothing
    broadcast(k, weights.size());
  }
}

void WeightCarrier::receive(std::span<float> weights) {
  const auto empty = [&](std::size_t k) {
    const FlatRange range = part(k, weights.size());
    copy_(weights.data() + range.first, buckets_[k % 2].data(), range.count);
  };
  std::future<void> emptied;
  for (std::size_t k = 0; k < parts(weights.size()); ++k) {
    broadcast(k, weights.size());
    if (emptied.valid()) emptied.get();
    emptied = std::async(std::launch::async, empty, k);
  }
  if (emptied.valid()) emptied.get();
}

std::size_t WeightCarrier::parts(std::size_t floats) const {
  return (floats + buckets_[0].size() - 1) / buckets_[0].size();
}

FlatRange WeightCarrier::part(std::size_t k, std::size_t floats) const {
  return block_of(static_cast<int>(k), buckets_[0].size(), floats);
}

void WeightCarrier::broadcast(std::size_t k, std::size_t floats) {
  const auto bucket = buckets_[k % 2].first(part(k, floats).count);
  link_.broadcast(std::as_writable_bytes(bucket), 0);
}

}  // namespace troupe::gpu
