#pragma once
// One KJ loop with real sockets on the loopback interface, and an authority for them.
#include "messages/wire/gatekeeper.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/remote.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/link.hpp"
#include "tests/support/test_pki.hpp"

#include <functional>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/memory.h>
#include <string>
#include <utility>
#include <vector>

namespace troupe::support {

struct Loopback {
  QuietKj quiet;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::Timer& timer = io.provider->getTimer();
  kj::Network& network = io.provider->getNetwork();
  TestPki pki;
  wire::TlsFiles director = pki.issue({.uri = "troupe://director/main"});

  /// Both ends of a connection: the accepted one first.
  std::pair<kj::Own<kj::AsyncIoStream>, kj::Own<kj::AsyncIoStream>> sockets() {
    auto port = wire::listen(network, "127.0.0.1:0");
    auto accepted = port->accept();
    auto dialled = dial(port->getPort());
    return {in_time(kj::mv(accepted)), kj::mv(dialled)};
  }

  kj::Own<kj::AsyncIoStream> dial(kj::uint port) {
    auto address = network.parseAddress("127.0.0.1", port).wait(io.waitScope);
    return in_time(address->connect());
  }

  template <class T>
  T in_time(kj::Promise<T> promise) {
    return timer.timeoutAfter(20 * kj::SECONDS, kj::mv(promise)).wait(io.waitScope);
  }

  /// Runs the loop until `done()`; false after 20 s.
  bool until(const std::function<bool()>& done) {
    const auto start = timer.now();
    while (!done()) {
      if (timer.now() - start > 20 * kj::SECONDS) return false;
      timer.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    }
    return true;
  }
};

/// A serving process in miniature: its gate grants a Probe to whoever joins.
struct TestServer {
  TestServer(Loopback& world, const wire::LinkLimits& limits,
             const std::string& address = "127.0.0.1:0")
      : tls(world.director, world.timer) {
    auto port = wire::listen(world.network, address);
    number = port->getPort();
    keeper = kj::heap<wire::Gatekeeper>(kj::mv(port), tls, world.timer, limits, events());
  }

  wire::Gatekeeper::Events events() {
    return {
        [this](const wire::Visitor& visitor) {
          visitors.push_back(visitor);
          return wire::make_gate(
              terms, visitor.identity,
              [this](const wire::PeerIdentity&,
                     wire::Hello::Reader hello) -> kj::Promise<wire::Granted> {
                leases_seen.push_back(hello.getLease());
                return wire::Granted{++lease, wire::Probe::Client(kj::heap<ProbeServer>())};
              });
        },
        [this](const wire::Visitor&, const wire::End& end) { ends.push_back(end); },
        [this](const std::string&, wire::Refusal refusal, const std::string&) {
          refusals.push_back(refusal);
        },
    };
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(number); }

  wire::TlsContext tls;
  wire::GateTerms terms{"r-1", "", 1};
  kj::uint number = 0;
  std::uint64_t lease = 0;
  std::vector<wire::Visitor> visitors;
  std::vector<std::uint64_t> leases_seen;
  std::vector<wire::End> ends;
  std::vector<wire::Refusal> refusals;
  kj::Own<wire::Gatekeeper> keeper;
};

/// Short times, so that tests over real sockets end soon.
inline wire::LinkLimits quick_limits() {
  wire::LinkLimits limits;
  limits.silence_seconds = 1;
  limits.heartbeat_seconds = 0.1;
  limits.redial_first_seconds = 0.01;
  limits.redial_longest_seconds = 0.1;
  return limits;
}

}  // namespace troupe::support
