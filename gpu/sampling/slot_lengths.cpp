#include "gpu/sampling/slot_lengths.hpp"

#include "gpu/error.hpp"

#include <algorithm>
#include <functional>
#include <string>

namespace troupe::gpu {

SlotLengths::SlotLengths(const DecoderConfig& config, std::int32_t slots, std::int32_t capacity)
    : capacity_(capacity), vocab_(config.vocab_size) {
  validate(config);
  if (slots <= 0 || capacity <= 0 || capacity > config.max_positions) {
    throw Error("an engine of " + std::to_string(slots) + " slots with " +
                std::to_string(capacity) + " tokens each: both must be positive and the capacity " +
                "at most max_positions " + std::to_string(config.max_positions));
  }
  lengths_.resize(static_cast<std::size_t>(slots));
  last_call_.resize(static_cast<std::size_t>(slots));
}

void SlotLengths::append(std::span<const Row> rows, std::span<const std::int32_t> wanted) {
  ++call_;
  for (const Row& row : rows) append(row);
  for (const std::int32_t index : wanted) {
    if (index < 0 || static_cast<std::size_t>(index) >= rows.size()) {
      throw Error("logits wanted of row " + std::to_string(index) + " of " +
                  std::to_string(rows.size()));
    }
  }
  if (std::adjacent_find(wanted.begin(), wanted.end(), std::greater_equal<>()) != wanted.end())
    throw Error("the rows whose logits are wanted must ascend");
}

void SlotLengths::append(const Row& row) {
  if (row.slot < 0 || row.slot >= slots()) {
    throw Error("slot " + std::to_string(row.slot) + " of " + std::to_string(slots()));
  }
  const auto slot = static_cast<std::size_t>(row.slot);
  std::int32_t& length = lengths_[slot];
  if (row.position >= capacity_ || (row.position != length && row.position != 0)) {
    throw Error("position " + std::to_string(row.position) + " in slot " +
                std::to_string(row.slot) + " which holds " + std::to_string(length) + " of " +
                std::to_string(capacity_) + " tokens");
  }
  if (row.position == 0 && last_call_[slot] == call_)
    throw Error("slot " + std::to_string(row.slot) + " starts again within one call");
  if (row.token < 0 || row.token >= vocab_) {
    throw Error("token " + std::to_string(row.token) + " of a vocabulary of " +
                std::to_string(vocab_));
  }
  length = row.position + 1;
  last_call_[slot] = call_;
}

void SlotLengths::copy(std::int32_t from, std::int32_t to, std::int32_t length) {
  if (std::min(from, to) < 0 || std::max(from, to) >= slots() || length < 0 ||
      length > lengths_[static_cast<std::size_t>(from)]) {
    throw Error("copy of " + std::to_string(length) + " positions from slot " +
                std::to_string(from) + " to slot " + std::to_string(to) + " of " +
                std::to_string(slots()));
  }
  if (from != to) lengths_[static_cast<std::size_t>(to)] = length;
}

}  // namespace troupe::gpu
