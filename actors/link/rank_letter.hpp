#pragma once
// Messages on the connections for tasks, each after its size in bytes.
#include "gpu/transport/byte_stream.hpp"

#include <capnp/message.h>
#include <chrono>
#include <cstdint>
#include <kj/array.h>
#include <string>

namespace troupe {

gpu::ByteStream::Time after(std::chrono::milliseconds time);

/// Returns what went wrong; empty: nothing.
[[nodiscard]] std::string send_letter(gpu::ByteStream& stream, capnp::MessageBuilder& message,
                                      gpu::ByteStream::Time deadline);

/// Fills `words` with a message of at most `most_bytes`, which begins by `begin` and is whole `rest` later.
/// Returns what went wrong; empty: nothing.
[[nodiscard]] std::string receive_letter(gpu::ByteStream& stream, kj::Array<capnp::word>& words,
                                         std::uint64_t most_bytes, gpu::ByteStream::Time begin,
                                         std::chrono::milliseconds rest);

}  // namespace troupe
