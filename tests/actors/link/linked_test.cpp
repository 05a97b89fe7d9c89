// The whole of it: a director's process and processes of roles, here in one, over real sockets.
#include "tests/actors/link/linked_run.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <span>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace linked;

namespace {

/// Where an engine stops in one of its calls until the test has what it wants.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, kLongest, [this] { return open_; });
  }
  bool reached() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLongest, [this] { return reached_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false, open_ = false;
};

/// An engine with a gate in one of its calls.
class GatedEngine final : public gpu::Engine {
 public:
  GatedEngine(std::unique_ptr<gpu::Engine> engine, Gate& gate, int call)
      : engine_(std::move(engine)), gate_(gate), left_(call) {}
  void forward(std::span<const gpu::Row> rows, std::span<const std::int32_t> wanted,
               float* logits) override {
    if (--left_ == 0) gate_.pass();
    engine_->forward(rows, wanted, logits);
  }
  void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) override {
    engine_->copy_prefix(from, to, length);
  }
  gpu::PreparedPtr prepare(gpu::FlatWeights weights) override {
    return engine_->prepare(std::move(weights));
  }
  void swap(const gpu::PreparedPtr& weights) override { engine_->swap(weights); }
  std::int32_t slots() const override { return engine_->slots(); }
  std::int32_t capacity() const override { return engine_->capacity(); }
  std::int32_t vocab() const override { return engine_->vocab(); }
  bool batch_invariant() const override { return engine_->batch_invariant(); }

 private:
  std::unique_ptr<gpu::Engine> engine_;
  Gate& gate_;
  int left_;
};

/// Stands before a generator and opens the gate once the request to hand over is in its mailbox: it is the next thing
/// that the generator does.
caf::behavior opener(caf::event_based_actor* self, const Generator& behind, Gate* gate) {
  self->link_to(behind);
  return {[=](take_atom, std::uint32_t count, const RolloutIds& acknowledged) {
            return self->delegate(behind, take_atom::value, count, acknowledged);
          },
          [=](stop_atom) { return self->delegate(behind, stop_atom::value); },
          [=](hand_over_atom) {
            auto handing = self->delegate(behind, hand_over_atom::value);
            gate->open();
            return handing;
          }};
}

/// Has a generator's process asked to leave in the middle of a pass of its engine.
void open_at_hand_over(SitePlan& plan, Gate& gate) {
  plan.cast_generator = [&gate, cast = plan.cast_generator, system = plan.system](
                            const CallSheet& sheet, const ReplayBuffer& buffer,
                            const Broadcaster& weights) {
    return caf::actor_cast<Generator>(system->spawn(opener, cast(sheet, buffer, weights), &gate));
  };
}

}  // namespace

TEST_CASE("a stage over links ends with the weights that it has in one process") {
  const TemporaryDirectory directory;
  auto authority = pki::Authority::create(directory.path() / "pki");
  const auto issue = [&](pki::Role role, const std::string& name) {
    return files(
        authority.issue({role,
                         name,
                         role == pki::Role::director ? std::vector<std::string>{"127.0.0.1"}
                                                     : std::vector<std::string>{},
                         {}}));
  };
  const auto director = issue(pki::Role::director, "main");
  const auto gen = issue(pki::Role::generator, "gen-0"), ver = issue(pki::Role::verifier, "ver-0");
  for (const bool tls : {false, true}) {
    CAPTURE(tls);
    Chief chief({}, tls ? std::optional(director) : std::nullopt);
    Role generating(chief, "gen-0", "generator", chief.office->address(), [&](SitePlan& plan) {
      if (tls) plan.tls = gen;
    });
    Role grading(chief, "ver-0", "verifier", chief.office->address(), [&](SitePlan& plan) {
      if (tls) plan.tls = ver;
    });
    chief.begin();
    REQUIRE(chief.finish());
    const auto totals = chief.ask<GeneratorTotals>(
        caf::actor_cast<Generator>(chief.actors().at("gen-0")), stop_atom::value);
    REQUIRE(totals);
    check_stage(chief);
    const auto record = chief.ask<LedgerRecord>(chief.buffer, ledger_atom::value);
    REQUIRE(record);
    CHECK(record->generated_tokens == totals->sampled_tokens);
    chief.office->dismiss("the run is over");
    for (Role* role : {&generating, &grading}) {
      const auto end = role->end();
      REQUIRE(end);
      CHECK(end->kind == SiteEnd::Kind::dismissed);
      CHECK(end->text == "the run is over");
    }
  }
}

TEST_CASE("a generator whose link is cut goes on where it was") {
  SmallStageOptions options;
  options.updates = 12;
  Chief chief(options);
  Forwarder way(chief.office->address());
  Role generating(chief, "gen-0", "generator", way.address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  for (const int update : {2, 5, 8}) {
    REQUIRE(chief.reaches(update));
    const double before = chief.counted("troupe_link_reconnects_total", "gen-0");
    if (update == 5)
      way.cut_half();
    else
      way.cut();
    REQUIRE(until([&] { return chief.counted("troupe_link_reconnects_total", "gen-0") > before; }));
  }
  check_stage(chief);
  CHECK(generating.casts == 1);
  CHECK(chief.ended().empty());
  CHECK(chief.ask<LedgerRecord>(chief.buffer, ledger_atom::value)->tickets_reissued == 0);
}

TEST_CASE(
    "a generator that comes back after its lease is cast anew and its tickets are issued again") {
  SmallStageOptions options;
  options.updates = 12;
  Chief chief(options, {}, 0.01);
  Forwarder way(chief.office->address());
  Role generating(chief, "gen-0", "generator", way.address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  REQUIRE(chief.reaches(3));
  way.open(false);
  way.cut();
  REQUIRE(until([&] { return chief.ended().size() == 1; }));
  CHECK(chief.ended()[0].starts_with("link_lost"));
  way.open(true);
  check_stage(chief);
  CHECK(generating.casts == 2);
  CHECK(chief.run.telemetry->metrics().counter("troupe_link_fenced_total").Value() == 1);
}

TEST_CASE("what is left of an earlier cast does not speak for the generator that is cast anew") {
  SmallStageOptions options;
  options.updates = 12;
  Chief chief(options, {}, 0.01);
  Forwarder way(chief.office->address());
  std::promise<caf::actor> first;
  Gate gate;
  Role generating(chief, "gen-0", "generator", way.address(), [&first](SitePlan& plan) {
    plan.cast_generator = [&first, cast = plan.cast_generator, casts = 0](
                              const CallSheet& sheet, const ReplayBuffer& buffer,
                              const Broadcaster& weights) mutable {
      if (casts++ == 0) first.set_value(caf::actor_cast<caf::actor>(buffer));
      return cast(sheet, buffer, weights);
    };
  });
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  const caf::actor proxy = first.get_future().get();
  REQUIRE(chief.reaches(3));
  way.open(false);
  way.cut();
  REQUIRE(until([&] { return chief.ended().size() == 1; }));
  // Before it hears that it has ended, the first cast's proxy asks for tickets once more.
  run_in(proxy, [&gate](caf::event_based_actor*) { gate.pass(); });
  REQUIRE(gate.reached());
  caf::anon_send(proxy, grant_atom::value, std::string("gen-0"), std::uint32_t{1});
  way.open(true);
  REQUIRE(until([&] { return generating.casts == 2; }));
  gate.open();
  check_stage(chief);
  CHECK(generating.casts == 2);
}

TEST_CASE("a verifier whose link is cut is cast anew even if the cut was not noticed") {
  SmallStageOptions options;
  options.updates = 12;
  Chief chief(options);
  Forwarder way(chief.office->address());
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", way.address());
  chief.begin();
  REQUIRE(chief.reaches(2));
  way.cut();
  REQUIRE(chief.reaches(5));
  way.cut_half();
  check_stage(chief);
  CHECK(grading.casts == 3);
  CHECK(chief.ended().size() == 2);
}

TEST_CASE("processes whose stand-ins die are cast anew over the links that they have") {
  SmallStageOptions options;
  options.updates = 40;
  Chief chief(options);
  Role generating(chief, "gen-0", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  for (const char* name : {"gen-0", "ver-0"}) {
    REQUIRE(chief.reaches(chief.updates + 5));
    caf::anon_send_exit(chief.actors().at(name), caf::exit_reason::unhandled_exception);
  }
  check_stage(chief);
  CHECK(generating.casts == 2);
  CHECK(grading.casts == 2);
  for (const char* name : {"gen-0", "ver-0"})
    CHECK(chief.counted("troupe_link_reconnects_total", name) == 0);
}

TEST_CASE("who may not join is told why") {
  Chief chief({});
  const auto refused = [&](const std::function<void(SitePlan&)>& change, const std::string& role) {
    Role one(chief, "gen-0", role, chief.office->address(), change);
    return one.end();
  };
  const auto config = refused([](SitePlan& plan) { plan.config_digest = "other"; }, "generator");
  REQUIRE(config);
  CHECK(config->kind == SiteEnd::Kind::refused);
  CHECK(config->text.find("config file") != std::string::npos);
  const auto role = refused([](SitePlan&) {}, "learner");
  REQUIRE(role);
  CHECK(role->kind == SiteEnd::Kind::refused);
  Role owner(chief, "gen-0", "generator", chief.office->address());
  REQUIRE(until([&] { return chief.enlisted == 1; }));
  const auto taken = refused([](SitePlan& plan) { plan.away_deadline_seconds = 0.5; }, "generator");
  REQUIRE(taken);
  CHECK(taken->kind == SiteEnd::Kind::away_too_long);
  CHECK(taken->text.find("name_taken") != std::string::npos);
  CHECK(chief.ended().empty());
}

TEST_CASE("with TLS nobody joins in plain text or under the role of another") {
  const TemporaryDirectory directory;
  auto authority = pki::Authority::create(directory.path() / "pki");
  Chief chief({}, files(authority.issue({pki::Role::director, "main", {"127.0.0.1"}, {}})));
  const auto gen = files(authority.issue({pki::Role::generator, "gen-0", {}, {}}));
  Role plain(chief, "gen-0", "generator", chief.office->address(),
             [](SitePlan& plan) { plan.away_deadline_seconds = 0.5; });
  const auto never = plain.end();
  REQUIRE(never);
  CHECK(never->kind == SiteEnd::Kind::away_too_long);
  Role other(chief, "gen-0", "verifier", chief.office->address(),
             [&](SitePlan& plan) { plan.tls = gen; });
  const auto end = other.end();
  REQUIRE(end);
  CHECK(end->kind == SiteEnd::Kind::refused);
  CHECK(end->text.find("certificate") != std::string::npos);
  CHECK(chief.enlisted == 0);
}

TEST_CASE("a generator that leaves hands over what it finished and the others go on") {
  SmallStageOptions options;
  options.updates = 12;
  options.bound = 1;
  Chief chief(options, {}, 0.01);
  Role leaving(chief, "gen-0", "generator", chief.office->address());
  Role staying(chief, "gen-1", "generator", chief.office->address());
  Role grading(chief, "ver-0", "verifier", chief.office->address());
  chief.begin();
  REQUIRE(chief.reaches(2));
  leaving.site->leave(60);
  const auto end = leaving.end();
  REQUIRE(end);
  CHECK(end->kind == SiteEnd::Kind::left);
  leaving.site.reset();
  REQUIRE(until([&] { return chief.ended().size() == 1; }));
  CHECK(chief.ended()[0] == "normal");  // and not lost
  const auto outcome = chief.finish();
  REQUIRE(outcome);
  CHECK(outcome->updates == 12);
  const auto record = chief.close();
  CHECK(record->imbalance_rollouts == 0);
  CHECK(record->imbalance_tokens == 0);
}

TEST_CASE("of pods that come and go nothing is kept") {
  SmallStageOptions options;
  options.updates = 12;
  options.bound = 1;
  Chief chief(options);
  const auto known = [&](const std::string& name) {
    const auto actors = chief.run.telemetry->actors();
    return std::any_of(actors.begin(), actors.end(),
                       [&](const ActorView& actor) { return actor.name == name; }) ||
           chief.run.telemetry->scrape().find(name) != std::string::npos;
  };
  const auto tell = [](SitePlan& plan) {
    plan.report = [] { return SiteReport{.phase = "busy", .busy_seconds = 1, .idle_seconds = 1}; };
  };
  Role staying(chief, "gen-0", "generator", chief.office->address(), tell);
  auto grading = std::make_unique<Role>(chief, "ver-0", "verifier", chief.office->address(), tell);
  auto leaving = std::make_unique<Role>(chief, "generator-7f9c-x1", "generator",
                                        chief.office->address(), tell);
  auto other =
      std::make_unique<Role>(chief, "verifier-5d41-q8", "verifier", chief.office->address(), tell);
  chief.begin();
  REQUIRE(chief.reaches(2));
  for (const char* name : {"generator-7f9c-x1", "verifier-5d41-q8"}) {
    CAPTURE(name);
    const std::string idle = "troupe_actor_idle_ratio{actor=\"" + std::string(name) + "\"}";
    REQUIRE(until([&] { return chief.run.telemetry->scrape().find(idle) != std::string::npos; }));
  }
  for (auto* pod : {&leaving, &other}) {
    (*pod)->site->leave(60);
    CHECK((*pod)->end()->kind == SiteEnd::Kind::left);
    pod->reset();
  }
  REQUIRE(until([&] { return chief.ended().size() == 2; }));
  for (const std::string& how : chief.ended()) CHECK(how == "normal");
  CHECK(until([&] { return !known("generator-7f9c-x1") && !known("verifier-5d41-q8"); }));
  CHECK(known("gen-0"));
  CHECK(known("ver-0"));
  const auto outcome = chief.finish();
  REQUIRE(outcome);
  CHECK(outcome->updates == 12);
  CHECK(until([&] { return chief.run.telemetry->at_verifiers() == 0u; }));
  CHECK(chief.close()->imbalance_rollouts == 0);
  CHECK_FALSE(known("generator-7f9c-x1"));
}

TEST_CASE("what a leaving generator has begun another finishes and not a token is lost") {
  for (const int call : {1, 3, 4}) {
    CAPTURE(call);
    Gate gate;
    Chief chief({});
    const auto engine = [&]() -> std::unique_ptr<gpu::Engine> {
      return std::make_unique<GatedEngine>(chief.parts.engine(), gate, call);
    };
    Role leaving(
        chief, "gen-0", "generator", chief.office->address(),
        [&](SitePlan& plan) { open_at_hand_over(plan, gate); }, engine);
    Role grading(chief, "ver-0", "verifier", chief.office->address());
    chief.begin();
    REQUIRE(gate.reached());
    leaving.site->leave(60);
    const auto end = leaving.end();
    REQUIRE(end);
    CHECK(end->kind == SiteEnd::Kind::left);
    leaving.site.reset();
    REQUIRE(until([&] { return chief.ended().size() == 1; }));
    CHECK(chief.ended()[0] == "normal");
    const auto handed = chief.ask<LedgerRecord>(chief.buffer, ledger_atom::value);
    REQUIRE(handed);
    CHECK(handed->handed_over_tokens >= 4);
    CHECK(handed->in_flight_tokens + handed->buffered_tokens == handed->generated_tokens);
    Role staying(chief, "gen-1", "generator", chief.office->address());
    check_stage(chief);
    const auto record = chief.ask<LedgerRecord>(chief.buffer, ledger_atom::value);
    REQUIRE(record);
    for (const char* reason : {"generator_lost", "abandoned", "late", "stale"})
      CHECK(record->dropped_tokens.count(reason) == 0);
    CHECK(record->handed_over_tokens == handed->handed_over_tokens);
    CHECK(staying.run.telemetry->metrics()
              .counter("troupe_generator_partial_resumes_total")
              .Value() >= 1);
  }
}

TEST_CASE("a verifier brings back what it was lent and nothing else") {
  Chief chief({});
  std::promise<ReplayBuffer> cast;
  Role grading(chief, "ver-0", "verifier", chief.office->address(), [&](SitePlan& plan) {
    plan.cast_verifier = [&cast, grade = plan.cast_verifier](const CallSheet& sheet,
                                                             const ReplayBuffer& buffer) {
      cast.set_value(buffer);
      return grade(sheet, buffer);
    };
  });
  const ReplayBuffer buffer = cast.get_future().get();
  REQUIRE(
      chief.ask<Tickets>(chief.buffer, grant_atom::value, std::string("near"), std::uint32_t{1}));
  const GradedRollouts forged{support::graded({.ticket = 0}, 1.0f)};
  const auto acknowledged = chief.ask<RolloutIds>(buffer, append_atom::value, forged);
  REQUIRE(acknowledged);
  CHECK(acknowledged->empty());
  CHECK(chief.counted("troupe_actor_dropped_messages_total", "not_lent") == 1);
  CHECK(chief.ask<LedgerRecord>(chief.buffer, ledger_atom::value)->buffered_rollouts == 0);
}

TEST_CASE("a peer that does not answer holds up neither the end of the run nor a leave") {
  Chief chief({});
  Forwarder way(chief.office->address());
  Role generating(chief, "gen-0", "generator", way.address());
  REQUIRE(until([&] { return generating.casts == 1; }));
  way.mute();
  const auto before = std::chrono::steady_clock::now();
  chief.office->dismiss("the run is over");
  CHECK(std::chrono::steady_clock::now() - before < seconds(30));
  generating.site->leave(0.1);
  const auto end = generating.end();
  REQUIRE(end);
  CHECK(end->kind == SiteEnd::Kind::left);
}

TEST_CASE("office and site may end in any order and with calls open") {
  for (const bool office_first : {true, false}) {
    CAPTURE(office_first);
    SmallStageOptions options;
    options.updates = 1000;
    Chief chief(options);
    Role generating(chief, "gen-0", "generator", chief.office->address());
    Role grading(chief, "ver-0", "verifier", chief.office->address());
    chief.begin();
    REQUIRE(chief.reaches(1));
    if (office_first) {
      chief.office.reset();
    } else {
      generating.site.reset();
      grading.site.reset();
    }
    const auto actors = chief.actors();
    if (actors.contains("gen-0"))  // its answer is an error, and it comes
      CHECK_FALSE(chief.ask<GeneratorTotals>(caf::actor_cast<Generator>(actors.at("gen-0")),
                                             stop_atom::value));
    generating.site.reset();
    grading.site.reset();
    chief.office.reset();
  }
}

}  // namespace troupe
