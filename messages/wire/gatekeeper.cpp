#include "messages/wire/gatekeeper.hpp"

#include "messages/wire/network.hpp"

#include <kj/debug.h>
#include <utility>
#include <vector>

namespace troupe::wire {

struct Gatekeeper::Guest {
  Guest(Visitor who, kj::Own<kj::AsyncIoStream> stream, kj::Timer& timer, const LinkLimits& limits,
        Gate::Client gate)
      : visitor(std::move(who)),
        session(kj::mv(stream), Session::Side::SERVER, timer, limits,
                capnp::Capability::Client(kj::mv(gate))) {}

  Visitor visitor;
  Session session;
};

Gatekeeper::Gatekeeper(kj::Own<kj::ConnectionReceiver> port, TlsContext& tls, kj::Timer& timer,
                       const LinkLimits& limits, Events events)
    : port_(kj::mv(port)),
      tls_(tls),
      timer_(timer),
      limits_(limits),
      events_(kj::mv(events)),
      accepting_(accept().eagerlyEvaluate(nullptr)) {}

Gatekeeper::Gatekeeper(Insecure, kj::Own<kj::ConnectionReceiver> port, kj::Timer& timer,
                       const LinkLimits& limits, Events events)
    : port_(kj::mv(port)),
      timer_(timer),
      limits_(limits),
      events_(kj::mv(events)),
      accepting_(nullptr) {
  const auto bound = bound_address(*port_);
  KJ_REQUIRE(bound == "local" || is_loopback(parse_address(bound).host),
             "links without TLS are for loopback addresses only", bound.c_str());
  accepting_ = accept().eagerlyEvaluate(nullptr);
}

Gatekeeper::~Gatekeeper() noexcept(false) = default;

kj::Promise<void> Gatekeeper::accept() {
  return port_->accept()
      .then(
          [this](kj::Own<kj::AsyncIoStream> stream) -> kj::Promise<void> {
            auto address = peer_address(*stream);
            admit(kj::mv(stream), std::move(address));
            return kj::READY_NOW;
          },
          [this](kj::Exception&&) {  // out of descriptors, say: KJ's own loop would end here
            ++counters_.accept_errors;
            return timer_.afterDelay(100 * kj::MILLISECONDS);
          })
      .then([this] { return accept(); });
}

void Gatekeeper::admit(kj::Own<kj::AsyncIoStream> stream, std::string address) {
  if (counters_.sessions_open >= limits_.sessions)
    return refuse(address, Refusal::full, "as many sessions as limits.sessions allows");
  harden(*stream, limits_.silence_seconds);
  tasks_.add(kj::evalNow([&] { return handshake(kj::mv(stream), std::move(address)); }));
}

kj::Promise<void> Gatekeeper::handshake(kj::Own<kj::AsyncIoStream> stream, std::string address) {
  KJ_IF_MAYBE (tls, tls_) {
    auto proven = kj::evalNow([&] {
      return timer_.timeoutAfter(duration(limits_.handshake_seconds), tls->accept(kj::mv(stream)));
    });
    const auto number = ++last_handshake_;
    return proven.exclusiveJoin(displaced(number))
        .attach(kj::defer([this, number] { handshakes_.erase(number); }))
        .then(
            [this, address](kj::Own<TlsStream> peer) {
              Visitor visitor{++last_session_, peer->peer(), address};
              return serve(kj::mv(peer), std::move(visitor));
            },
            [this, address](kj::Exception&& exception) {
              auto refusal = Refusal::failed;
              KJ_IF_MAYBE (known, refusal_of(exception)) {
                refusal = *known;
              }
              refuse(address, refusal, exception.getDescription().cStr());
            });
  }
  return serve(kj::mv(stream), Visitor{++last_session_, {}, std::move(address)});
}

kj::Promise<kj::Own<TlsStream>> Gatekeeper::displaced(std::uint64_t number) {
  if (!handshakes_.empty() && handshakes_.size() >= limits_.handshakes) {
    const auto oldest = handshakes_.begin();
    oldest->second->reject(
        refusal_exception(Refusal::full, "newer handshakes took the room of limits.handshakes"));
    handshakes_.erase(oldest);
  }
  auto pair = kj::newPromiseAndFulfiller<kj::Own<TlsStream>>();
  handshakes_[number] = kj::mv(pair.fulfiller);
  return kj::mv(pair.promise);
}

kj::Promise<void> Gatekeeper::serve(kj::Own<kj::AsyncIoStream> stream, Visitor visitor) {
  if (counters_.sessions_open >= limits_.sessions) {
    refuse(visitor.address, Refusal::full, "as many sessions as limits.sessions allows");
    return kj::READY_NOW;
  }
  kj::Own<Guest> guest;
  auto problem = kj::runCatchingExceptions([&] {
    guest = kj::heap<Guest>(visitor, kj::mv(stream), timer_, limits_, events_.grant(visitor));
  });
  KJ_IF_MAYBE (exception, problem) {
    refuse(visitor.address, Refusal::failed, exception->getDescription().cStr());
    return kj::READY_NOW;
  }
  ++counters_.accepted;
  ++counters_.sessions_open;
  guests_[visitor.session] = guest.get();
  auto gone = kj::defer([this, session = visitor.session] {
    --counters_.sessions_open;
    guests_.erase(session);
  });
  return guest->session.ended()
      .then([this, visitor](const End& end) {
        ++counters_.ended[end.reason];
        events_.ended(visitor, end);
      })
      .attach(kj::mv(gone), kj::mv(guest));
}

std::size_t Gatekeeper::close(std::uint64_t session, const std::string& why) {
  const auto found = guests_.find(session);
  if (found == guests_.end()) return 0;
  found->second->session.close(Ending::revoked, why);
  return 1;
}

std::size_t Gatekeeper::close_all(const std::string& name, const std::string& why) {
  std::size_t told = 0;
  for (const auto& [session, guest] : guests_)
    if (guest->visitor.identity.name == name) told += close(session, why);
  return told;
}

void Gatekeeper::refuse(const std::string& address, Refusal refusal, const std::string& text) {
  ++counters_.refused[refusal];
  events_.refused(address, refusal, text);
}

void Gatekeeper::taskFailed(kj::Exception&& exception) {
  KJ_LOG(ERROR, "a session ended badly", exception.getDescription());
}

}  // namespace troupe::wire
