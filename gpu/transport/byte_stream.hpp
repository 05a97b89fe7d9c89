#pragma once
#include <chrono>
#include <cstddef>
#include <span>
#include <string>

namespace troupe::gpu {

/// Both directions of a connection to another rank, in order and without loss. One thread sends and
/// receives; `close` is safe from any.
class ByteStream {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `send` must take as much without waiting for the other side.
  static constexpr std::size_t kQueueBytes = 16 << 20;

  virtual ~ByteStream() = default;

  /// Takes the bytes over; waits while more than kQueueBytes are not yet on their way. Returns what
  /// went wrong; empty: nothing.
  [[nodiscard]] virtual std::string send(std::span<const std::byte> bytes, Time deadline) = 0;
  /// Fills all of `bytes`. Returns what went wrong, a deadline too; empty: nothing.
  [[nodiscard]] virtual std::string receive(std::span<std::byte> bytes, Time deadline) = 0;
  /// Calls under way and later ones, on both sides, go wrong; on this side because of `why`.
  virtual void close(const std::string& why) = 0;
};

}  // namespace troupe::gpu
