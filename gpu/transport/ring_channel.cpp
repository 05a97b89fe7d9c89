#include "gpu/transport/ring_channel.hpp"

#include <cstring>
#include <utility>

namespace troupe::gpu {
namespace {

std::string description(std::uint32_t kind, std::uint32_t call, std::uint64_t bytes) {
  return std::to_string(bytes) + " bytes of call " + std::to_string(call) + ", kind " +
         std::to_string(kind);
}

}  // namespace

RingChannel::RingChannel(RingPlace place, std::chrono::milliseconds deadline)
    : place_(std::move(place)), deadline_(deadline) {}

void RingChannel::begin(const char* call, std::uint32_t kind) {
  name_ = call;
  kind_ = kind;
  ++calls_;
  until_ = std::chrono::steady_clock::now() + deadline_;
  check({}, place_.rank);
}

void RingChannel::send(std::span<const std::byte> bytes) {
  const Header header{kind_, calls_, bytes.size()};
  message_.resize(sizeof(header) + bytes.size());
  std::memcpy(message_.data(), &header, sizeof(header));
  if (!bytes.empty()) std::memcpy(message_.data() + sizeof(header), bytes.data(), bytes.size());
  check(place_.next->send(message_, until_), (place_.rank + 1) % place_.size);
}

void RingChannel::receive(std::span<std::byte> bytes) {
  const int neighbour = (place_.rank + place_.size - 1) % place_.size;
  Header header;
  check(place_.previous->receive(std::as_writable_bytes(std::span(&header, 1)), until_), neighbour);
  if (header.kind != kind_ || header.call != calls_ || header.bytes != bytes.size())
    fail("rank " + std::to_string(neighbour) +
         " is at something else: " + description(header.kind, header.call, header.bytes) +
         "; here it is " + description(kind_, calls_, bytes.size()));
  check(place_.previous->receive(bytes, until_), neighbour);
}

void RingChannel::abort(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (problem_.empty()) problem_ = why;
  }
  if (place_.next) place_.next->close(why);
  if (place_.previous) place_.previous->close(why);
}

/// After an abort its reason counts, not what the closed stream said.
void RingChannel::check(const std::string& problem, int neighbour) {
  std::string known;
  {
    const std::lock_guard lock(mutex_);
    known = problem_;
  }
  if (!known.empty()) fail(known);
  if (!problem.empty()) fail("rank " + std::to_string(neighbour) + ": " + problem);
}

void RingChannel::fail(const std::string& why) {
  abort(why);
  throw LostRank("rank " + std::to_string(place_.rank) + " of " + std::to_string(place_.size) +
                 ": " + name_ + ": " + why);
}

}  // namespace troupe::gpu
