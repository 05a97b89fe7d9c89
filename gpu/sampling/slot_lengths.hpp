#pragma once
// The contract of Engine::forward and copy_prefix, checked once for all engines.
#include "gpu/sampling/engine.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu {

/// How many tokens each slot of a cache holds. Used by one thread at a time.
class SlotLengths {
 public:
  /// Errors: throws gpu::Error if the model's shape is not valid, or has fewer positions than
  /// `capacity`.
  SlotLengths(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity);

  /// Counts the rows of a forward call in. Errors: throws gpu::Error on a slot, position, token or
  /// wanted row out of range, and if a slot starts again after rows of the same call.
  void append(std::span<const Row> rows, std::span<const std::int32_t> wanted);
  /// Errors: throws gpu::Error on a slot out of range or a prefix that `from` does not hold.
  void copy(std::int32_t from, std::int32_t to, std::int32_t length);

 private:
  void append(const Row& row);
  std::int32_t slots() const { return static_cast<std::int32_t>(lengths_.size()); }

  std::int32_t capacity_, vocab_;
  std::vector<std::int32_t> lengths_;
  std::vector<std::uint64_t> last_call_;  // that appended to the slot
  std::uint64_t call_ = 0;
};

}  // namespace troupe::gpu
