#pragma once
// Keys and values of every slot and layer, in the layout of the CPU kernels.
#include "gpu/kernels/aligned_floats.hpp"
#include "gpu/kernels/decode_kernels.hpp"

#include <cstdint>

namespace troupe::gpu {

/// Used by one thread at a time; different slots by different threads.
class KvCache {
 public:
  /// heads.capacity becomes a multiple of 16.
  KvCache(HeadShape heads, std::int32_t layers, std::int32_t slots, std::int32_t capacity);

  const HeadShape& heads() const { return heads_; }
  CachedRow row(std::int32_t layer, std::int32_t slot, std::int32_t position) const;
  /// The first `length` positions of `to` become those of `from`. REQUIRES: from != to.
  void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) const;

 private:
  HeadShape heads_;
  std::int32_t layers_;
  std::size_t part_;  // floats of the keys, or the values, of one slot and layer
  AlignedFloats memory_;
};

}  // namespace troupe::gpu
