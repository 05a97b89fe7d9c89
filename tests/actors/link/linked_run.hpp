#pragma once
// A director's process and processes of roles, here in one, over real sockets.
#include "actors/errors.hpp"
#include "actors/link/broadcaster_stand_in.hpp"
#include "actors/link/generator_stand_in.hpp"
#include "actors/link/learner_stand_in.hpp"
#include "actors/link/office.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/site.hpp"
#include "actors/link/verifier_stand_in.hpp"
#include "messages/pki/authority.hpp"
#include "messages/wire/network.hpp"
#include "tests/actors/link/showing_run.hpp"
#include "tests/support/small_stage.hpp"
#include "tests/support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <prometheus/counter.h>
#include <string>
#include <thread>
#include <vector>

namespace troupe::linked {

using std::chrono::seconds;
using support::SmallStage;
using support::SmallStageOptions;
using support::SmallStageParts;

inline constexpr seconds kLongest{60};

inline bool until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kLongest;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Passes bytes on between processes, until it is told otherwise.
class Forwarder {
 public:
  explicit Forwarder(std::string to)
      : to_(std::move(to)),
        thread_(std::make_unique<wire::KjThread>(
            [this](wire::Loop& loop) -> kj::Own<void> { return start(loop); },
            [](kj::LogSeverity, const std::string&) {})) {}
  ~Forwarder() { thread_.reset(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void cut() {
    run([](Board& board) { board.pairs.clear(); });
  }
  /// Only the dialling side sees the end; the other hears nothing any more.
  void cut_half() {
    run([](Board& board) {
      for (auto& pair : board.pairs) {
        pair.pumps = nullptr;
        pair.dialled = nullptr;
      }
    });
  }
  /// Both sides hear nothing any more.
  void mute() {
    run([](Board& board) {
      for (auto& pair : board.pairs) pair.pumps = nullptr;
    });
  }
  void open(bool yes) {
    run([yes](Board& board) { board.open = yes; });
  }

 private:
  struct Pair {
    kj::Own<kj::AsyncIoStream> dialled, served;
    kj::Promise<void> pumps = nullptr;
  };
  struct Board final : kj::TaskSet::ErrorHandler {
    bool open = true;
    kj::Own<kj::ConnectionReceiver> port;
    std::list<Pair> pairs;
    kj::TaskSet tasks{*this};
    void taskFailed(kj::Exception&&) override {}
  };

  kj::Own<void> start(wire::Loop& loop) {
    auto board = kj::heap<Board>();
    board_ = board.get();
    board->port = wire::listen(loop.io.getNetwork(), "127.0.0.1:0");
    port_ = board->port->getPort();
    board->tasks.add(accept(*board, loop.io.getNetwork()));
    return board;
  }
  kj::Promise<void> accept(Board& board, kj::Network& network) {
    return board.port->accept().then([this, &board, &network](kj::Own<kj::AsyncIoStream> stream) {
      if (board.open) board.tasks.add(connect(board, network, kj::mv(stream)));
      return accept(board, network);
    });
  }
  kj::Promise<void> connect(Board& board, kj::Network& network,
                            kj::Own<kj::AsyncIoStream> dialled) {
    return network.parseAddress(to_.c_str())
        .then([](kj::Own<kj::NetworkAddress> address) {
          auto connecting = address->connect();
          return connecting.attach(kj::mv(address));
        })
        .then([&board, dialled = kj::mv(dialled)](kj::Own<kj::AsyncIoStream> served) mutable {
          Pair& pair = board.pairs.emplace_back();
          pair.dialled = kj::mv(dialled);
          pair.served = kj::mv(served);
          pair.pumps = pump(*pair.dialled, *pair.served)
                           .exclusiveJoin(pump(*pair.served, *pair.dialled))
                           .eagerlyEvaluate([](kj::Exception&&) {});
        });
  }
  static kj::Promise<void> pump(kj::AsyncIoStream& from, kj::AsyncIoStream& to) {
    return from.pumpTo(to).then([&to](auto) {
      to.shutdownWrite();
      return kj::Promise<void>(kj::NEVER_DONE);
    });
  }
  void run(std::function<void(Board&)> work) {
    std::promise<void> done;
    thread_->post([&](wire::Loop&) {
      work(*board_);
      done.set_value();
    });
    done.get_future().wait();
  }

  std::string to_;
  unsigned port_ = 0;
  Board* board_ = nullptr;
  std::unique_ptr<wire::KjThread> thread_;
};

inline Deadlines quick() {
  return {seconds(6)};
}

/// Of who waits for that long before it goes another way. A busy machine must not be silent for that long itself.
constexpr double kBriefSilence = 1.5;

inline wire::LinkLimits patient_limits() {
  wire::LinkLimits limits;
  limits.silence_seconds = 5;
  limits.heartbeat_seconds = 0.1;
  limits.redial_first_seconds = 0.01;
  limits.redial_longest_seconds = 0.05;
  return limits;
}

inline wire::TlsFiles files(const pki::LeafFiles& leaf) {
  return {leaf.authority, leaf.certificate, leaf.key, leaf.revoked};
}

inline WeightManifest manifest_of(const SmallStageParts& parts) {
  return {{"table", "float32", {parts.elements()}, 0}};
}

/// The director's process: casts whoever enlists, and trains.
struct Chief {
  explicit Chief(SmallStageOptions options, std::optional<wire::TlsFiles> tls = {},
                 double lease_seconds = 60, bool broadcaster_apart = false,
                 bool learner_apart = false, std::uint32_t relay_fan_out = 0)
      : parts(options) {
    director = system.spawn(
        [this](caf::event_based_actor* self) -> caf::behavior { return direct(self); });
    buffer = system.spawn(replay_buffer, ReplayBufferPlan{parts.ledger, parts.prompts(), quick(),
                                                          run.telemetry.get()});
    weights = system.spawn(broadcaster, BroadcasterPlan{quick(), run.telemetry.get()});
    if (!learner_apart)
      trainer = system.spawn<caf::detached>(learner, learner_setup(*run.telemetry),
                                            caf::actor_cast<Conductor>(director));
    OfficePlan plan;
    plan.listen = "127.0.0.1:0";
    plan.tls = std::move(tls);
    plan.limits = patient_limits();
    plan.terms = {"run", "digest", 0};
    plan.lease_seconds = lease_seconds;
    plan.learner_lease_seconds = lease_seconds;
    plan.broadcaster_apart = broadcaster_apart;
    plan.learner_apart = learner_apart;
    plan.relay_fan_out = relay_fan_out;
    plan.weights.manifest = manifest_of(parts);
    plan.deadlines = quick();
    plan.telemetry = run.telemetry.get();
    office = std::make_unique<Office>(plan);
    office->attend(director);
  }
  ~Chief() {
    for (const auto& [name, actor] : actors()) caf::anon_send_exit(actor, caf::exit_reason::kill);
    for (const caf::actor& relay : relays) caf::anon_send_exit(relay, caf::exit_reason::kill);
    for (const caf::actor& actor :
         {director, caf::actor_cast<caf::actor>(buffer), caf::actor_cast<caf::actor>(weights),
          caf::actor_cast<caf::actor>(trainer)})
      caf::anon_send_exit(actor, caf::exit_reason::kill);
  }
  LearnerSetup learner_setup(Telemetry& telemetry) {
    LearnerSetup setup;
    setup.ranks.prepare_thread = [] {};
    setup.ranks.engine = [this] { return parts.training_engine(); };
    setup.weights = parts.initial_weights();
    setup.update = parts.update;
    setup.deadlines = quick();
    setup.telemetry = &telemetry;
    return setup;
  }
  RolloutPlan rollout_plan() {
    RolloutPlan plan;
    plan.buffer = buffer;
    plan.broadcaster = weights;
    plan.updates = static_cast<std::int32_t>(parts.options.updates);
    plan.schedule = parts.schedule;
    plan.staleness_bound = parts.options.bound;
    return plan;
  }
  caf::behavior direct(caf::event_based_actor* self) {
    self->set_down_handler([this, self](const caf::down_msg& down) {
      std::vector<std::string> gone;
      {
        const std::lock_guard lock(mutex);
        ends.push_back(describe(down.reason));
        for (const auto& [name, actor] : cast)
          if (actor.address() == down.source) gone.push_back(name);
        for (const std::string& name : gone) cast.erase(name);
      }
      if (down.reason != caf::exit_reason::unhandled_exception) return;
      for (const std::string& name : gone) {
        ++castings;
        enlist(self, known[name]);
      }
    });
    return {[this](updated_atom, std::int32_t update, const Weights&) { updates = update; },
            [this](ended_atom, const LearnerOutcome& ended) {
              const std::lock_guard lock(mutex);
              outcome = ended;
            },
            [this, self](enlisted_atom, const Enlistment& who) { enlist(self, who); }};
  }
  void enlist(caf::event_based_actor* self, const Enlistment& who) {
    known[who.name] = who;
    const CallSheet sheet{who.lease + (castings << 16), 0};
    if (who.learner) {
      const caf::actor stand_in = system.spawn(
          learner_stand_in,
          LearnerStandInPlan{who.name, who.lease, who.learner, quick(), run.telemetry.get()},
          caf::actor_cast<Conductor>(director));
      self->monitor(stand_in);
      const std::lock_guard lock(mutex);
      trainer = caf::actor_cast<Learner>(stand_in);
      ++enlisted;
      return;
    }
    if (who.broadcaster) {
      const caf::actor relay = system.spawn(
          broadcaster_stand_in, BroadcasterStandInPlan{sheet, who.broadcaster}, weights);
      self->monitor(relay);
      const std::lock_guard lock(mutex);
      relays.push_back(relay);
      return;
    }
    caf::actor actor;
    if (who.generator) {
      GeneratorStandInPlan plan{who.name, sheet,   who.generator,      64,
                                1024,     quick(), run.telemetry.get()};
      actor = system.spawn(generator_stand_in, plan, buffer, weights);
    } else {
      actor = system.spawn(verifier_stand_in,
                           VerifierStandInPlan{who.name, sheet, who.verifier, run.telemetry.get()},
                           buffer);
    }
    self->monitor(actor);
    const std::lock_guard lock(mutex);
    cast[who.name] = actor;
    verifier[who.name] = who.verifier != nullptr;
    ++enlisted;
    for (const auto& [name, other] : cast) {
      if (verifier[name] == verifier[who.name]) continue;
      const auto& [by, of] = verifier[name] ? std::pair(other, actor) : std::pair(actor, other);
      caf::anon_send(caf::actor_cast<Verifier>(by), join_atom::value,
                     verifier[name] ? who.name : name, caf::actor_cast<Generator>(of));
    }
  }
  std::map<std::string, caf::actor> actors() {
    const std::lock_guard lock(mutex);
    return cast;
  }
  bool has_broadcaster() {
    const std::lock_guard lock(mutex);
    return !relays.empty();
  }
  std::vector<std::string> ended() {
    const std::lock_guard lock(mutex);
    return ends;
  }
  void begin() {
    LearnerPlan plan;
    plan.rollout = rollout_plan();
    caf::anon_send(trainer, begin_atom::value, std::make_shared<const LearnerPlan>(plan));
  }
  bool reaches(std::int32_t update) {
    return until([&] { return updates >= update; });
  }
  /// The records of updates that were told to the run, by update.
  std::vector<std::string> updates_told() {
    std::ifstream file(run.directory / "metrics.jsonl");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
      if (line.find("\"type\":\"update\"") != std::string::npos) lines.push_back(line);
    return lines;
  }
  std::optional<LearnerOutcome> finish() {
    until([&] {
      const std::lock_guard lock(mutex);
      return outcome.has_value();
    });
    const std::lock_guard lock(mutex);
    return outcome;
  }
  template <class T, class Handle, class... Values>
  std::optional<T> ask(const Handle& whom, Values... values) {
    std::optional<T> got;
    caf::scoped_actor self(system);
    self->request(whom, kLongest, values...)
        .receive([&](const T& value) { got = value; }, [](const caf::error&) {});
    return got;
  }
  std::optional<LedgerRecord> close() {
    return ask<LedgerRecord>(buffer, close_atom::value, std::string("stage_over"));
  }
  double counted(const char* metric, const char* label) {
    return run.telemetry->metrics().counter(metric, label).Value();
  }

  ShowingRun run{true};
  SmallStageParts parts;
  std::map<std::string, Enlistment> known;  // the director's, as is castings
  std::uint64_t castings = 0;               // anew, of who had died
  std::mutex mutex;                         // guards the six below
  std::map<std::string, caf::actor> cast;
  std::map<std::string, bool> verifier;
  std::vector<caf::actor> relays;
  std::vector<std::string> ends;
  std::optional<LearnerOutcome> outcome;
  std::atomic<int> enlisted = 0;
  std::atomic<std::int32_t> updates = 0;
  caf::actor_system_config config;
  caf::actor_system system{config};
  caf::actor director;
  ReplayBuffer buffer;
  Broadcaster weights;
  Learner trainer;
  std::unique_ptr<Office> office;
};

/// The process of a role.
struct Role {
  Role(
      const Chief& chief, std::string name, std::string role, std::string address,
      const std::function<void(SitePlan&)>& change = [](SitePlan&) {}, EngineFactory other = {})
      : parts(chief.parts.options) {
    SitePlan plan;
    plan.name = name;
    plan.role = std::move(role);
    plan.addresses = {std::move(address)};
    plan.limits = patient_limits();
    plan.config_digest = "digest";
    plan.weights.manifest = manifest_of(parts);
    plan.deadlines = quick();
    plan.telemetry = run.telemetry.get();
    plan.system = &system;
    plan.cast_generator = [this, name](const CallSheet&, const ReplayBuffer& buffer,
                                       const Broadcaster& weights) -> Generator {
      ++casts;
      GeneratorPlan generating;
      generating.name = name;
      generating.prepare_thread = [] {};
      generating.engine = engine;
      generating.elements = parts.elements();
      generating.sampling = parts.sampling;
      generating.seed = parts.options.seed;
      generating.group_size = parts.options.group_size;
      generating.tickets_at_once = parts.options.batch;
      generating.deadlines = quick();
      generating.telemetry = run.telemetry.get();
      return system.spawn<caf::detached>(generator, generating, buffer, weights);
    };
    plan.cast_verifier = [this, name](const CallSheet&, const ReplayBuffer& buffer) -> Verifier {
      ++casts;
      return system.spawn<caf::detached>(
          verifier, VerifierPlan{name, parts.rules, 8, quick(), run.telemetry.get()}, buffer);
    };
    plan.cast_broadcaster = [this] {
      return system.spawn(broadcaster, BroadcasterPlan{quick(), run.telemetry.get()});
    };
    plan.report = [] { return SiteReport{}; };
    if (other) engine = std::move(other);
    change(plan);
    site = std::make_shared<Site>(plan);
  }
  /// How the process ended; empty: it did not.
  std::optional<SiteEnd> end() {
    auto ended = std::make_shared<std::promise<SiteEnd>>();
    auto future = ended->get_future();
    std::thread([waiting = site, ended]() mutable {
      SiteEnd how = waiting->wait();
      waiting.reset();  // whoever is told may end the site
      ended->set_value(std::move(how));
    }).detach();
    if (future.wait_for(kLongest) != std::future_status::ready) return {};
    return future.get();
  }

  /// Versions that came in from whoever that is.
  double fetched(const char* source) {
    return run.telemetry->metrics().counter("troupe_broadcaster_fetched_total", source).Value();
  }
  double handed() {
    return run.telemetry->metrics().counter("troupe_broadcaster_handed_total").Value();
  }

  support::TemporaryRun run;
  SmallStageParts parts;
  EngineFactory engine = [this] { return parts.engine(); };
  std::atomic<int> casts = 0;
  caf::actor_system_config config;
  caf::actor_system system{config};
  std::shared_ptr<Site> site;
};

inline std::vector<float> in_one_process(const SmallStageOptions& options) {
  SmallStage stage(options);
  stage.begin();
  stage.settle();
  REQUIRE(stage.outcome);
  const float* values = stage.outcome->weights.values().get();
  return {values, values + stage.parts.elements()};
}

/// The stage ends with the weights that it has in one process: nothing was lost and nothing was trained twice.
inline void check_stage(Chief& chief) {
  const auto outcome = chief.finish();
  REQUIRE(outcome);
  CHECK(outcome->failure.empty());
  const std::vector<float> expected = in_one_process(chief.parts.options);
  CHECK(std::memcmp(expected.data(), outcome->weights.values().get(),
                    expected.size() * sizeof(float)) == 0);
  const auto record = chief.close();
  REQUIRE(record);
  CHECK(record->imbalance_rollouts == 0);
  CHECK(record->imbalance_tokens == 0);
  CHECK(record->tokens_beyond_bound == 0);
  for (const char* reason : {"not_granted", "not_lent", "notice_refused"})
    CHECK(chief.counted("troupe_actor_dropped_messages_total", reason) == 0);
}

}  // namespace troupe::linked
