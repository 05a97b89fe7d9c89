#include "gpu/sampling/kv_cache.hpp"

#include <cstring>

namespace troupe::gpu {
namespace {

/// Whole cache lines that keep parts from beginning a multiple of 4 KiB apart, where their first,
/// most used lines would compete for the same sets of the processor's caches.
constexpr std::size_t kStagger = 528;

void copy(const float* from, float* to, std::ptrdiff_t count) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

}  // namespace

KvCache::KvCache(HeadShape heads, std::int32_t layers, std::int32_t slots, std::int32_t capacity)
    : heads_(heads), layers_(layers) {
  heads_.capacity = (capacity + 15) / 16 * 16;
  part_ = static_cast<std::size_t>(heads_.kv * heads_.capacity * heads_.dim) + kStagger;
  memory_ =
      AlignedFloats(part_ * 2 * static_cast<std::size_t>(layers) * static_cast<std::size_t>(slots));
}

CachedRow KvCache::row(std::int32_t layer, std::int32_t slot, std::int32_t position) const {
  const auto index = static_cast<std::size_t>(slot) * static_cast<std::size_t>(layers_) +
                     static_cast<std::size_t>(layer);
  float* const keys = memory_.data() + part_ * 2 * index;
  return {keys, keys + part_, position};
}

void KvCache::copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) const {
  const std::ptrdiff_t head_stride = heads_.capacity * heads_.dim;
  const std::ptrdiff_t whole_blocks = (length + 15) / 16 * 16;
  for (std::int32_t layer = 0; layer < layers_; ++layer) {
    const CachedRow source = row(layer, from, 0), target = row(layer, to, 0);
    for (std::ptrdiff_t head = 0; head < heads_.kv; ++head) {
      const std::ptrdiff_t at = head * head_stride;
      copy(source.keys + at, target.keys + at, whole_blocks * heads_.dim);
      copy(source.values + at, target.values + at, length * heads_.dim);
    }
  }
}

}  // namespace troupe::gpu
