#pragma once
// One guarded connection that speaks Cap'n Proto RPC.
#include "messages/wire/limits.hpp"
#include "messages/wire/watched_stream.hpp"

#include <capnp/capability.h>
#include <capnp/rpc-twoparty.h>
#include <capnp/rpc.h>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/memory.h>
#include <kj/timer.h>

namespace troupe::wire {

/// One connection, either side, over any byte stream. Lives on the loop; destroying it fails every
/// call in flight with DISCONNECTED.
class Session {
 public:
  using Side = capnp::rpc::twoparty::Side;

  /// `bootstrap` is what the peer may reach.
  Session(kj::Own<kj::AsyncIoStream> stream, Side side, kj::Timer& timer, const LinkLimits& limits,
          kj::Maybe<capnp::Capability::Client> bootstrap = nullptr);
  ~Session() noexcept(false) = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The other side's bootstrap object. It works for as long as this session lives.
  capnp::Capability::Client peer();

  /// Resolves when the session is over, with the reason; destroy it then, not inside the promise.
  /// Call once.
  kj::Promise<End> ended();

  /// Ends it from here.
  void close(Ending reason, const std::string& text) { watched_.fail(reason, text); }

  const WatchedStream::Figures& figures() const { return watched_.figures(); }

 private:
  kj::Timer& timer_;
  kj::Own<kj::AsyncIoStream> stream_;
  WatchedStream watched_;
  capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc_;
};

}  // namespace troupe::wire
