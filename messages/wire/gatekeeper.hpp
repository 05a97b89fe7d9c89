#pragma once
// Accepts connections for a serving process.
#include "messages/wire/gate.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/session.hpp"
#include "messages/wire/tls.hpp"

#include <cstdint>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/function.h>
#include <kj/memory.h>
#include <kj/timer.h>
#include <map>
#include <string>

namespace troupe::wire {

/// One accepted connection.
struct Visitor {
  std::uint64_t session = 0;  ///< Names it for `close`; never used twice.
  PeerIdentity identity;      ///< Empty without TLS: Hello tells, unproven.
  std::string address;        ///< Where it comes from.
};

/// Accepts connections, learns who each peer is, grants its bootstrap object, and reports its end.
/// Lives on the loop. Nothing that a peer does stops it from accepting: beyond limits.handshakes
/// the oldest unfinished one makes room, so that idle connections do not keep out who has a
/// certificate.
class Gatekeeper final : private kj::TaskSet::ErrorHandler {
 public:
  /// Called on the loop. What throws in `grant` refuses the session; the others must not throw.
  /// Destroying the Gatekeeper ends its sessions without a call.
  struct Events {
    kj::Function<Gate::Client(const Visitor& visitor)> grant;
    kj::Function<void(const Visitor& visitor, const End& end)> ended;
    kj::Function<void(const std::string& address, Refusal refusal, const std::string& text)>
        refused;
  };

  /// Since the beginning, but for sessions_open.
  struct Counters {
    std::uint64_t accepted = 0;       ///< Sessions that began.
    std::uint64_t accept_errors = 0;  ///< Of the port itself: no descriptors left, say.
    std::map<Refusal, std::uint64_t> refused;
    std::map<Ending, std::uint64_t> ended;
    std::uint64_t sessions_open = 0;
  };

  /// With TLS. `tls` and `timer` must outlive this.
  Gatekeeper(kj::Own<kj::ConnectionReceiver> port, TlsContext& tls, kj::Timer& timer,
             const LinkLimits& limits, Events events);

  /// Says at the call that nobody is authenticated and nothing is encrypted.
  struct Insecure {};
  /// Without TLS. Errors: throws kj::Exception unless the port is bound to a loopback address.
  Gatekeeper(Insecure, kj::Own<kj::ConnectionReceiver> port, kj::Timer& timer,
             const LinkLimits& limits, Events events);

  ~Gatekeeper() noexcept(false);

  /// Takes a connection from elsewhere (a pipe, a unix socket) as if it had been accepted.
  void admit(kj::Own<kj::AsyncIoStream> stream, std::string address);

  /// Ends one session, or all of a name. Callable inside any callback. Returns how many were told.
  std::size_t close(std::uint64_t session, const std::string& why);
  std::size_t close_all(const std::string& name, const std::string& why);

  const Counters& counters() const { return counters_; }
  std::size_t handshakes_open() const { return handshakes_.size(); }

 private:
  struct Guest;

  kj::Promise<void> accept();
  kj::Promise<void> handshake(kj::Own<kj::AsyncIoStream> stream, std::string address);
  kj::Promise<kj::Own<TlsStream>> displaced(std::uint64_t number);
  kj::Promise<void> serve(kj::Own<kj::AsyncIoStream> stream, Visitor visitor);
  void refuse(const std::string& address, Refusal refusal, const std::string& text);
  void taskFailed(kj::Exception&& exception) override;

  kj::Own<kj::ConnectionReceiver> port_;
  kj::Maybe<TlsContext&> tls_;
  kj::Timer& timer_;
  const LinkLimits limits_;
  Events events_;
  Counters counters_;
  std::uint64_t last_session_ = 0, last_handshake_ = 0;
  std::map<std::uint64_t, kj::Own<kj::PromiseFulfiller<kj::Own<TlsStream>>>> handshakes_;
  std::map<std::uint64_t, Guest*> guests_;
  kj::TaskSet tasks_{*this};
  kj::Promise<void> accepting_;
};

}  // namespace troupe::wire
