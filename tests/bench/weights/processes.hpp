#pragma once
// Processes that publish weights, receive them, and hand them on, over mutual TLS on loopback.
#include "actors/broadcaster/broadcaster.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_intake.hpp"
#include "gpu/model/manifest.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/session.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/link.hpp"
#include "tests/support/test_pki.hpp"

#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <memory>
#include <random>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace troupe::bench {

using Clock = std::chrono::steady_clock;

inline const wire::LinkLimits kPatient{.silence_seconds = 600};  // nobody pings here

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The publishing process: a link per receiver, each with a source of its own.
class Publisher final : kj::TaskSet::ErrorHandler {
 public:
  Publisher(wire::Loop& loop, const wire::TlsFiles& files, const WeightTerms& terms,
            Broadcaster from, caf::actor porter, Telemetry& telemetry)
      : timer_(loop.timer),
        tls_(files, loop.timer),
        from_(std::move(from)),
        porter_(std::move(porter)),
        dispatch_(loop, terms, telemetry),
        port_(wire::listen(loop.io.getNetwork(), "127.0.0.1:0")) {
    number = port_->getPort();
    tasks_.add(serve());
  }
  kj::uint number = 0;

 private:
  kj::Promise<void> serve() {
    return port_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
      tasks_.add(tls_.accept(kj::mv(stream)).then([this](kj::Own<wire::TlsStream> peer) {
        auto session =
            kj::heap<wire::Session>(kj::mv(peer), wire::Session::Side::SERVER, timer_, kPatient,
                                    capnp::Capability::Client(dispatch_.source(
                                        {porter_, std::chrono::seconds(60)}, from_, "receiver")));
        auto ended = session->ended();
        return ended.ignoreResult().attach(kj::mv(session));
      }));
      return serve();
    });
  }
  void taskFailed(kj::Exception&& exception) override { KJ_LOG(ERROR, exception); }

  kj::Timer& timer_;
  wire::TlsContext tls_;
  Broadcaster from_;
  caf::actor porter_;
  WeightDispatch dispatch_;
  kj::Own<kj::ConnectionReceiver> port_;
  kj::TaskSet tasks_{*this};
};

/// Actors that hold versions, for a Publisher.
struct Holder {
  Holder() {
    from =
        system.spawn(broadcaster, BroadcasterPlan{{std::chrono::seconds(60)}, run.telemetry.get()});
    porter = system.spawn(
        [](caf::event_based_actor* self) -> caf::behavior { return {errand_handler(self)}; });
  }
  ~Holder() {
    for (const auto& actor : {porter, caf::actor_cast<caf::actor>(from)})
      caf::anon_send_exit(actor, caf::exit_reason::kill);
  }
  kj::Own<Publisher> publisher(wire::Loop& loop, const wire::TlsFiles& files,
                               const WeightTerms& terms) {
    return kj::heap<Publisher>(loop, files, terms, from, porter, *run.telemetry);
  }
  void publish(const Weights& weights) { caf::anon_send(from, publish_atom::value, weights); }

  support::TemporaryRun run;
  caf::actor_system_config config;
  caf::actor_system system{config};
  Broadcaster from;
  caf::actor porter;
};

/// Pipes between this process and a receiver's: the port to dial, and after it the end, one way; its own port, and a byte
/// per version that came, the other.
struct Pipes {
  int orders = -1, news = -1;
};

/// Fetches version after version and hands each one on. Runs in a process of its own, until `orders` is closed.
inline void receive(const Pipes& pipes, const wire::TlsFiles& files, const WeightTerms& terms,
                    int versions) {
  Holder holder;
  auto io = kj::setupAsyncIo();
  wire::Loop loop{*io.provider, *io.lowLevelProvider, io.provider->getTimer()};
  const auto publisher = holder.publisher(loop, files, terms);
  KJ_SYSCALL(::write(pipes.news, &publisher->number, sizeof publisher->number));
  kj::uint port = 0;
  KJ_SYSCALL(::read(pipes.orders, &port, sizeof port));
  wire::TlsContext tls(files, loop.timer);
  auto dial = wire::tls_dial(io.provider->getNetwork(), tls, {}, kPatient.silence_seconds);
  wire::Session session(dial("127.0.0.1:" + std::to_string(port)).wait(io.waitScope),
                        wire::Session::Side::CLIENT, loop.timer, kPatient);
  WeightIntake intake(loop, terms, 60, {std::chrono::seconds(60)}, holder.system,
                      *holder.run.telemetry);
  for (int version = 0; version < versions;) {
    const Weights weights =
        intake
            .fetch(session.peer().castAs<wire::WeightSource>(), static_cast<std::uint64_t>(version))
            .wait(io.waitScope);
    if (!weights) continue;
    holder.publish(weights);
    ++version;
    KJ_SYSCALL(::write(pipes.news, "v", 1));
  }
  char end = 0;
  io.lowLevelProvider->wrapInputFd(pipes.orders)->tryRead(&end, 1, 1).wait(io.waitScope);
}

/// A receiver in a process of its own. REQUIRES: this one has a single thread.
struct Receiver {
  Receiver(const wire::TlsFiles& files, const WeightTerms& terms, int versions) {
    int orders[2], news[2];
    KJ_SYSCALL(::pipe2(orders, O_CLOEXEC));
    KJ_SYSCALL(::pipe2(news, O_CLOEXEC));
    child = ::fork();
    if (child == 0) {
      ::close(orders[1]);
      receive({orders[0], news[1]}, files, terms, versions);
      ::_exit(0);
    }
    ::close(orders[0]);
    ::close(news[1]);
    pipes = {orders[1], news[0]};
    KJ_SYSCALL(::read(pipes.news, &port, sizeof port));
  }
  void dial(kj::uint source) const { KJ_SYSCALL(::write(pipes.orders, &source, sizeof source)); }
  void wait_for_version() const {
    char byte = 0;
    KJ_SYSCALL(::read(pipes.news, &byte, 1));
  }
  void end() const {
    ::write(pipes.orders, "e", 1);
    ::waitpid(child, nullptr, 0);
  }
  kj::uint port = 0;  // at which it hands on what it holds
  Pipes pipes;
  pid_t child = 0;
};

/// The next version; each value changes with that probability.
inline std::shared_ptr<const float[]> next_values(const std::shared_ptr<const float[]>& before,
                                                  std::uint64_t elements, double share) {
  const auto values = std::shared_ptr<float[]>(new float[elements]);
  std::mt19937_64 dice(elements);
  const auto limit = static_cast<std::uint64_t>(share * 0x1p32);
  for (std::uint64_t i = 0; i < elements; ++i) {
    const std::uint64_t draw = dice();
    const float fresh = static_cast<float>(draw >> 40) * 0x1p-24f;
    values[i] = !before ? fresh : (draw & 0xffffffff) < limit ? before[i] + 1 + fresh : before[i];
  }
  return values;
}

}  // namespace troupe::bench
