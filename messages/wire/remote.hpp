#pragma once
// Another process as seen from here.
#include "messages/wire/gate.capnp.h"
#include "messages/wire/gate.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/session.hpp"

#include <capnp/capability.h>
#include <cstdint>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/function.h>
#include <kj/timer.h>
#include <random>
#include <string>
#include <vector>

namespace troupe::wire {

/// What Hello says of us. Fields as in gate.capnp; `protocol` and `lease` are filled in by Remote.
struct Greeting {
  std::string name, role, run_id, config_digest, host;
  std::uint64_t process_id = 0, incarnation = 0;
};

/// How a link fares.
struct RemoteStatus {
  bool connected = false;
  bool stopped = false;  ///< A final refusal: nobody dials any more.
  std::string address;   ///< Last dialled.
  std::uint64_t dials = 0, joins = 0;
  std::uint64_t epoch = 0, lease = 0;  ///< Of the last welcome.
  double round_trip_seconds = 0;       ///< Of the last ping.
  std::string last_reason;             ///< Why there was, or is, no link.
};

/// Dials, joins, pings, and dials again, for ever. Lives on the loop; other threads hold it as a
/// name and post tasks that use it there.
class Remote {
 public:
  /// Called on the loop; any may be left empty. They must not destroy the Remote.
  struct Events {
    kj::Maybe<kj::Function<void(Welcome::Reader welcome, capnp::Capability::Client role)>> joined;
    kj::Maybe<kj::Function<void(const std::string& why)>> left;    ///< After each joined, once.
    kj::Maybe<kj::Function<void(const std::string& why)>> missed;  ///< A dial that led to no join.
    /// Whether to dial again. Left empty: not after a final refusal (is_final).
    kj::Maybe<kj::Function<bool(const JoinRefused& refused)>> refused;
  };

  /// Addresses are tried in turn; a pause follows each round. `seed` is for the jitter of the
  /// pauses.
  Remote(kj::Timer& timer, std::vector<std::string> addresses, Dial dial, Greeting greeting,
         const LinkLimits& limits, Events events, std::uint64_t seed);
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  /// What was granted. Errors: throws DISCONNECTED (Fault::gone) while away. Calls in flight at the
  /// end of a session fail with DISCONNECTED.
  capnp::Capability::Client role();

  /// `promise` with the deadline call_seconds. Errors: OVERLOADED (Fault::busy) after it.
  template <class T>
  kj::Promise<T> in_time(kj::Promise<T> promise) {
    return timer_.timeoutAfter(duration(limits_.call_seconds), kj::mv(promise));
  }

  const RemoteStatus& status() const { return status_; }

 private:
  kj::Promise<void> live();
  kj::Promise<void> attempt();
  kj::Promise<void> stay(kj::Own<kj::AsyncIoStream> stream);
  kj::Promise<void> greet(Gate::Client gate);
  kj::Promise<void> ping(Gate::Client gate, std::uint64_t sequence);
  void welcome(Welcome::Reader welcome);
  void leave(const std::string& why);
  bool goes_on(const kj::Exception& exception);
  kj::Duration pause();

  kj::Timer& timer_;
  const std::vector<std::string> addresses_;
  Dial dial_;
  const Greeting greeting_;
  const LinkLimits limits_;
  Events events_;
  std::mt19937_64 dice_;
  double pause_seconds_;
  std::size_t next_address_ = 0;
  RemoteStatus status_;
  kj::Maybe<capnp::Capability::Client> role_;
  kj::Promise<void> life_;
};

}  // namespace troupe::wire
