#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe::gpu {

/// Indices 0 .. count - 1 in at most `minibatches` parts of equal size (the last may be smaller).
/// One part keeps the order; several are dealt from a shuffle that is a function of `key`.
std::vector<std::vector<std::size_t>> minibatches(std::size_t count, std::int32_t minibatches,
                                                  std::uint64_t key);

}  // namespace troupe::gpu
