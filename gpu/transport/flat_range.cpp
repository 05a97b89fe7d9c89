#include "gpu/transport/flat_range.hpp"

#include <algorithm>

namespace troupe::gpu {

FlatRange block_of(int rank, std::size_t block, std::size_t total) {
  const std::size_t first = std::min(total, static_cast<std::size_t>(rank) * block);
  return {first, std::min(block, total - first)};
}

std::size_t shard_length(std::size_t total, int ranks) {
  constexpr std::size_t kFloats = 32;  // 128 bytes: no two ranks write one cache line
  const auto parts = static_cast<std::size_t>(ranks);
  return ((total + parts - 1) / parts + kFloats - 1) / kFloats * kFloats;
}

}  // namespace troupe::gpu
