// Which of two sources weights are asked of, over a real socket and in virtual time.
#include "actors/link/weight_link.hpp"

#include "actors/link/door.hpp"
#include "messages/wire/gate.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <kj/async-io.h>
#include <kj/timer.h>
#include <optional>
#include <string>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

/// Has no version yet, says nothing, or refuses.
struct Source {
  enum class Mood { ready, mute, failing } mood = Mood::ready;
  int asked = 0;
};

class SourceServer final : public wire::WeightSource::Server {
 public:
  explicit SourceServer(Source& source) : source_(source) {}
  kj::Promise<void> next(NextContext) override {
    ++source_.asked;
    if (source_.mood == Source::Mood::mute) return kj::NEVER_DONE;
    if (source_.mood == Source::Mood::failing) return KJ_EXCEPTION(FAILED, "no");
    return kj::READY_NOW;
  }

 private:
  Source& source_;
};

constexpr double kCallSeconds = 2;

/// A process with a way to another that has weights, and one to fall back on. Nobody pings.
struct Crossing {
  Crossing() {
    plan.name = "gen-0";
    plan.role = "generator";
    plan.config_digest = "digest";
    plan.telemetry = run.telemetry.get();
    plan.limits.call_seconds = kCallSeconds;
    plan.limits.silence_seconds = plan.limits.heartbeat_seconds = kNever;
    Door::Events guests;
    guests.grant = [this](const wire::Visitor& visitor) {
      return wire::make_gate(
          {"run", "digest", 1}, visitor.identity,
          [this](const wire::PeerIdentity&, wire::Hello::Reader) {
            return kj::Promise<wire::Granted>(wire::Granted{1, kj::heap<SourceServer>(there)});
          });
    };
    guests.ended = [](const wire::Visitor&, const wire::End&) {};
    door =
        kj::heap<Door>(loop, DoorPlan{"127.0.0.1:0", plan.limits, plan.telemetry}, nullptr, guests);
    intake.emplace(loop, WeightTerms{}, kCallSeconds, Deadlines{}, system, *run.telemetry);
    link.emplace(
        loop, plan, "broadcaster", nullptr,
        WeightLink::Events{[] { return std::string("run"); }, [this] { attached = true; }});
    link->dial({"127.0.0.1:" + std::to_string(door->port()), {}});
    until([this] { return attached; });
    fallback = wire::WeightSource::Client(kj::heap<SourceServer>(behind));
  }
  void until(const std::function<bool()>& done) {
    kj::Timer& real = io.provider->getTimer();
    for (int i = 0; i < 20'000 && !done(); ++i)
      real.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    REQUIRE(done());
  }
  void advance(double seconds) {
    clock.advanceTo(clock.now() + wire::duration(seconds));
    io.waitScope.poll();
  }
  /// Asks for weights, and lets the deadline pass if nobody answers. Returns why there was no answer.
  std::string fetch() {
    std::optional<std::string> outcome;
    const int before = there.asked + behind.asked;
    auto asking =
        link->fetch(*intake, 0, fallback)
            .then([&](Weights) { outcome.emplace(); },
                  [&](kj::Exception&& problem) { outcome = problem.getDescription().cStr(); })
            .eagerlyEvaluate(nullptr);
    until([&] { return there.asked + behind.asked > before; });
    if (there.mood == Source::Mood::mute) advance(kCallSeconds);
    until([&] { return outcome.has_value(); });
    return *outcome;
  }

  static constexpr double kNever = 1e6;
  support::QuietKj quiet;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::TimerImpl clock{kj::origin<kj::TimePoint>()};
  wire::Loop loop{*io.provider, *io.lowLevelProvider, clock};
  support::TemporaryRun run;
  caf::actor_system_config config;
  caf::actor_system system{config};
  Source there, behind;
  bool attached = false;
  MemberPlan plan;
  kj::Own<Door> door;
  std::optional<WeightIntake> intake;
  std::optional<WeightLink> link;
  kj::Maybe<wire::WeightSource::Client> fallback;
};

}  // namespace

TEST_CASE("who is linked and gives nothing in time is passed over for thirty seconds") {
  Crossing c;
  CHECK(c.fetch().empty());
  CHECK(c.there.asked == 1);
  c.there.mood = Source::Mood::mute;
  CHECK(c.fetch().find("do not move") != std::string::npos);
  CHECK(c.there.asked == 2);
  c.there.mood = Source::Mood::ready;
  CHECK(c.fetch().empty());
  c.advance(29);
  CHECK(c.fetch().empty());
  CHECK(c.there.asked == 2);
  CHECK(c.behind.asked == 2);
  c.advance(1);
  CHECK(c.fetch().empty());
  CHECK(c.there.asked == 3);
  CHECK(c.behind.asked == 2);
}

TEST_CASE("who is linked and refuses at once is asked again") {
  Crossing c;
  c.there.mood = Source::Mood::failing;
  CHECK(c.fetch() == "remote exception: no");
  CHECK(c.fetch() == "remote exception: no");
  CHECK(c.there.asked == 2);
  CHECK(c.behind.asked == 0);
}

}  // namespace troupe
