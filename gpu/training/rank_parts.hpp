#pragma once
#include "gpu/training/training_engine.hpp"
#include "gpu/transport/flat_range.hpp"

#include <span>
#include <vector>

namespace troupe::gpu {

/// Which sequences each of `ranks` ranks takes: runs in order, of about equally many tokens. A
/// sequence goes to the rank in whose share of the tokens its middle lies; a rank may get none.
/// A function of its arguments alone, so every rank finds the same parts.
std::vector<FlatRange> rank_parts(std::span<const Sequence> sequences, int ranks);

}  // namespace troupe::gpu
