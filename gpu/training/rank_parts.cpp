#include "gpu/training/rank_parts.hpp"

#include <algorithm>

namespace troupe::gpu {

std::vector<FlatRange> rank_parts(std::span<const Sequence> sequences, int ranks) {
  std::size_t total = 0, before = 0;
  for (const Sequence& sequence : sequences) total += sequence.tokens.size();
  const auto count = static_cast<std::size_t>(ranks);
  std::vector<FlatRange> parts(count);
  for (const Sequence& sequence : sequences) {
    const std::size_t twice_middle = 2 * before + sequence.tokens.size();
    const std::size_t rank =
        total == 0 ? 0 : std::min(count - 1, twice_middle * count / (2 * total));
    ++parts[rank].count;
    before += sequence.tokens.size();
  }
  for (std::size_t rank = 1; rank < count; ++rank)
    parts[rank].first = parts[rank - 1].first + parts[rank - 1].count;
  return parts;
}

}  // namespace troupe::gpu
