#include "actors/link/rank_letter.hpp"

#include <capnp/serialize.h>
#include <span>

namespace troupe {

gpu::ByteStream::Time after(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

std::string send_letter(gpu::ByteStream& stream, capnp::MessageBuilder& message,
                        gpu::ByteStream::Time deadline) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  const std::uint64_t size = bytes.size();
  std::string problem = stream.send(std::as_bytes(std::span(&size, 1)), deadline);
  if (problem.empty())
    problem = stream.send(std::as_bytes(std::span(bytes.begin(), bytes.size())), deadline);
  return problem;
}

std::string receive_letter(gpu::ByteStream& stream, kj::Array<capnp::word>& words,
                           std::uint64_t most_bytes, gpu::ByteStream::Time begin,
                           std::chrono::milliseconds rest) {
  std::uint64_t size = 0;
  std::string problem = stream.receive(std::as_writable_bytes(std::span(&size, 1)), begin);
  if (!problem.empty()) return problem;
  if (size > most_bytes || size % sizeof(capnp::word) != 0) return "sent what is no message";
  words = kj::heapArray<capnp::word>(size / sizeof(capnp::word));
  auto bytes = words.asBytes();
  return stream.receive(std::as_writable_bytes(std::span(bytes.begin(), bytes.size())),
                        after(rest));
}

}  // namespace troupe
