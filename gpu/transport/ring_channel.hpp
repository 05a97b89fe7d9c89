#pragma once
// Messages between neighbours of a ring: what both are at is checked with each of them.
#include "gpu/transport/ring_communicator.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::gpu {

/// `send`, `receive` and `begin` by one thread, `abort` by any. Errors: LostRank.
class RingChannel {
 public:
  RingChannel(RingPlace place, std::chrono::milliseconds deadline);

  const RingPlace& place() const { return place_; }
  /// Names the call under way and starts its deadline. All ranks count their calls.
  void begin(const char* call, std::uint32_t kind);
  void send(std::span<const std::byte> bytes);
  /// The other side must have sent exactly so many bytes, in the same call.
  void receive(std::span<std::byte> bytes);
  void abort(const std::string& why);

 private:
  struct Header {
    std::uint32_t kind = 0, call = 0;  // which collective, and the how manieth of this group
    std::uint64_t bytes = 0;
  };

  void check(const std::string& problem, int neighbour);
  [[noreturn]] void fail(const std::string& why);

  const RingPlace place_;
  const std::chrono::milliseconds deadline_;
  const char* name_ = "";
  std::uint32_t kind_ = 0, calls_ = 0;
  ByteStream::Time until_;
  std::vector<std::byte> message_;
  std::mutex mutex_;  // guards problem_
  std::string problem_;
};

}  // namespace troupe::gpu
