// Rollouts from a generator's actor to a verifier's actor over mutual TLS on loopback, acknowledged, beside the same two
// actors in one process. usage: troupe_rollouts_bench [SECONDS]
#include "tests/support/rollouts.hpp"

#include "actors/generator/lending.hpp"
#include "actors/link/codec.hpp"
#include "actors/link/desks.hpp"
#include "actors/link/verifier_proxies.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/session.hpp"
#include "messages/wire/tls.hpp"
#include "tests/support/link.hpp"
#include "tests/support/test_pki.hpp"

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace troupe;
using Clock = std::chrono::steady_clock;

const wire::LinkLimits kPatient{.silence_seconds = 600};  // nobody pings here
constexpr std::chrono::seconds kDeadline{60};
constexpr std::size_t kHeld = 512;  // rollouts that the generator has at hand

/// With as many completion tokens as make `bytes`: an id and a log-prob each.
Rollout rollout_of(std::size_t bytes, std::uint64_t ticket) {
  support::RolloutParts parts;
  parts.ticket = ticket;
  parts.completion.assign(bytes / 8, 9);
  return support::rollout(parts);
}

struct SourceState {
  Lending lending;
  std::uint64_t made = 0;
};

/// Never short of rollouts; keeps each until it is acknowledged, as a generator does.
caf::behavior source(caf::stateful_actor<SourceState>* self, std::size_t bytes) {
  auto& state = self->state;
  const auto refill = [&state, bytes] {
    while (state.lending.size() < kHeld) state.lending.put(rollout_of(bytes, state.made++));
  };
  refill();
  return {[self, &state, refill](take_atom, std::uint32_t count, const RolloutIds& acknowledged) {
    auto promise = state.lending.take(self, count, acknowledged);
    refill();
    return promise;
  }};
}

struct Count {
  std::atomic<std::uint64_t> rollouts = 0;
  std::atomic<bool> enough = false;
  std::promise<void> ended;
};

struct SinkState {
  std::function<void(const RolloutIds&)> ask;
};

/// Takes one message after the other until it is enough.
caf::behavior sink(caf::stateful_actor<SinkState>* self, const Generator& from,
                   std::uint32_t at_once, Count* count) {
  self->state.ask = [self, from, at_once, count](const RolloutIds& acknowledged) {
    self->request(from, kDeadline, take_atom::value, at_once, acknowledged)
        .then(
            [self, count](const Rollouts& rollouts) {
              RolloutIds ids;
              for (const Rollout& rollout : rollouts) ids.push_back(delivery_id(rollout.read()));
              count->rollouts += rollouts.size();
              if (!count->enough) return self->state.ask(ids);
              self->state.ask = nullptr;
              count->ended.set_value();
              self->quit();
            },
            [](const caf::error&) { std::abort(); });
  };
  self->state.ask({});
  return {[](int) {}};
}

/// Rollouts a second.
double rate(caf::actor_system& system, const Generator& from, std::uint32_t at_once,
            double seconds) {
  Count count;
  const auto start = Clock::now();
  system.spawn<caf::detached>(sink, from, at_once, &count);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  count.enough = true;
  count.ended.get_future().wait();
  return static_cast<double>(count.rollouts) /
         std::chrono::duration<double>(Clock::now() - start).count();
}

/// The generator's end of one link.
class Server final : kj::TaskSet::ErrorHandler {
 public:
  Server(wire::Loop& loop, const wire::TlsFiles& files, caf::actor porter, Generator generator)
      : timer_(loop.timer),
        tls_(files, loop.timer),
        porter_(std::move(porter)),
        generator_(std::move(generator)),
        port_(wire::listen(loop.io.getNetwork(), "127.0.0.1:0")) {
    number = port_->getPort();
    tasks_.add(port_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
      return tls_.accept(kj::mv(stream)).then([this](kj::Own<wire::TlsStream> peer) {
        auto session = kj::heap<wire::Session>(
            kj::mv(peer), wire::Session::Side::SERVER, timer_, kPatient,
            capnp::Capability::Client(kj::heap<RolloutDesk>(
                DeskTerms{porter_, kDeadline, 1024}, generator_, std::make_shared<Lent>(), 0)));
        auto ended = session->ended();
        return ended.ignoreResult().attach(kj::mv(session));
      });
    }));
  }
  kj::uint number = 0;

 private:
  void taskFailed(kj::Exception&& exception) override { KJ_LOG(ERROR, exception); }

  kj::Timer& timer_;
  wire::TlsContext tls_;
  caf::actor porter_;
  Generator generator_;
  kj::Own<kj::ConnectionReceiver> port_;
  kj::TaskSet tasks_{*this};
};

/// The verifier's end. Lives on the loop.
struct Client final : kj::TaskSet::ErrorHandler {
  Client(wire::Loop& loop, const wire::TlsFiles& files, kj::uint port)
      : tls(files, loop.timer),
        dial(wire::tls_dial(loop.io.getNetwork(), tls, {}, kPatient.silence_seconds)) {
    tasks.add(dial("127.0.0.1:" + std::to_string(port))
                  .then([this, &timer = loop.timer](kj::Own<kj::AsyncIoStream> stream) {
                    session = kj::heap<wire::Session>(kj::mv(stream), wire::Session::Side::CLIENT,
                                                      timer, kPatient);
                    peer = session->peer().castAs<wire::RolloutSource>();
                  }));
  }
  void taskFailed(kj::Exception&& exception) override { KJ_LOG(ERROR, exception); }

  wire::TlsContext tls;
  wire::Dial dial;
  kj::Own<wire::Session> session;
  kj::Maybe<wire::RolloutSource::Client> peer;  // none: not there yet
  kj::TaskSet tasks{*this};
};

class LoopWay final : public RolloutWay {
 public:
  LoopWay(wire::Courier& courier, Client& client) : courier_(courier), client_(client) {}
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    auto shared = std::make_shared<Answer<Rollouts>>(std::move(answer));
    courier_.post([this, count, acknowledged, shared](wire::Loop&) {
      KJ_IF_MAYBE (peer, client_.peer) {
        auto request = peer->takeRequest();
        request.setCount(count);
        write(acknowledged, request.initAcknowledged(static_cast<unsigned>(acknowledged.size())));
        client_.tasks.add(deliver<Rollouts>(request.send().then([](auto&& results) {
          return read_rollouts(results.getRollouts());
        }),
                                            std::move(*shared)));
      } else {
        shared->give(Rollouts{});
      }
    });
  }

 private:
  wire::Courier& courier_;
  Client& client_;
};

double over_link(support::TestPki& pki, std::size_t bytes, std::uint32_t at_once, double seconds) {
  const auto files = pki.issue();
  caf::actor_system_config config;
  caf::actor_system here(config), there(config);
  const auto porter = here.spawn(
      [](caf::event_based_actor* self) -> caf::behavior { return {errand_handler(self)}; });
  const auto generator = here.spawn<caf::detached>(source, bytes);
  kj::uint port = 0;
  wire::KjThread server(
      [&](wire::Loop& loop) -> kj::Own<void> {
        auto made = kj::heap<Server>(loop, files, porter, caf::actor_cast<Generator>(generator));
        port = made->number;
        return kj::mv(made);
      },
      {});
  Client* end = nullptr;
  wire::KjThread client(
      [&](wire::Loop& loop) -> kj::Own<void> {
        auto made = kj::heap<Client>(loop, files, port);
        end = made;
        return kj::mv(made);
      },
      {});
  const auto proxy = there.spawn(rollout_proxy, std::make_shared<LoopWay>(client, *end));
  const double found = rate(there, caf::actor_cast<Generator>(proxy), at_once, seconds);
  for (const caf::actor& actor : {porter, caf::actor_cast<caf::actor>(generator), proxy})
    caf::anon_send_exit(actor, caf::exit_reason::kill);
  return found;
}

double in_process(std::size_t bytes, std::uint32_t at_once, double seconds) {
  caf::actor_system_config config;
  caf::actor_system system(config);
  const auto generator = system.spawn<caf::detached>(source, bytes);
  const double found = rate(system, caf::actor_cast<Generator>(generator), at_once, seconds);
  caf::anon_send_exit(generator, caf::exit_reason::kill);
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  support::TestPki pki;
  for (const std::size_t kib : {16, 64, 1024})
    for (const std::uint32_t at_once : {1u, 8u, 64u}) {
      if (kib * at_once > 4096) continue;  // of one message
      const double near = in_process(kib << 10, at_once, seconds);
      const double far = over_link(pki, kib << 10, at_once, seconds);
      std::printf(
          "rollouts of %4zu KiB, %2u at once: %8.0f /s in one process, %7.0f /s over a link (%5.0f "
          "MB/s)\n",
          kib, at_once, near, far, far * static_cast<double>(kib << 10) / 1e6);
      std::fflush(stdout);
    }
}
