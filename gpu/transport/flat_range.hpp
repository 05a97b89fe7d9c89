#pragma once
#include <cstddef>

namespace troupe::gpu {

/// A part [first, first + count) of a flat buffer.
struct FlatRange {
  std::size_t first = 0, count = 0;
};

/// Block `rank` of a buffer cut into blocks of `block`; the last ones may be shorter or empty.
FlatRange block_of(int rank, std::size_t block, std::size_t total);

/// The block that cuts `total` floats over `ranks` ranks: equal parts, rounded up to 128 bytes.
std::size_t shard_length(std::size_t total, int ranks);

}  // namespace troupe::gpu
