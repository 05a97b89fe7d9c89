#pragma once
// A connection between two ranks of a learner: KJ's on the loop, blocking on the learner's thread.
#include "gpu/transport/byte_stream.hpp"
#include "messages/wire/kj_thread.hpp"

#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/memory.h>
#include <memory>

namespace troupe {

struct RankStream {
  /// For one other thread. Closed when nobody holds it.
  std::shared_ptr<gpu::ByteStream> stream;
  /// For the loop, to be kept: whoever drops it ends the stream. Never rejects.
  kj::Promise<void> running;
};

/// Called on the loop of `courier`, which outlives the stream. `io` is a TLS stream whose peer has
/// been verified: what comes out of it is believed to be a rank's.
RankStream rank_stream(wire::Courier& courier, kj::Own<kj::AsyncIoStream> io);

}  // namespace troupe
