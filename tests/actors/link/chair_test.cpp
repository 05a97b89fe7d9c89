// A director whose conductor is in another process, here both in one, over real sockets.
#include "actors/link/chair.hpp"

#include "actors/director/director.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/errors.hpp"
#include "actors/learner/learner.hpp"
#include "actors/link/conductor_proxy.hpp"
#include "actors/link/director_stand_in.hpp"
#include "gpu/model/manifest.hpp"
#include "tests/actors/link/linked_run.hpp"
#include "tests/actors/telemetry/http_client.hpp"
#include "tests/support/small_run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <caf/scoped_actor.hpp>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {

using namespace linked;

namespace {

constexpr std::int32_t kUpdates = 12;

Config synchronous() {
  Config config = support::small_config();
  config.replay_buffer.staleness_bound = 0;
  config.evaluation.every = 0;
  config.stages[1].updates = kUpdates;
  return config;
}

/// Ends each stage at once, is told that the run is over, and stays until it is told to stop.
caf::behavior idle_conductor(caf::event_based_actor* self, const Director& director,
                             std::atomic<bool>* closed) {
  return {
      [self, director](begin_atom, std::uint32_t stage) {
        StageEnd end;
        end.stage = stage;
        self->send(director, ended_atom::value, std::make_shared<const StageEnd>(end));
      },
      [closed](close_atom, const std::string&) { *closed = true; },
      [self](stop_atom) { self->quit(); },
  };
}

/// The replay buffer's process, with all of the cast in it, or with an idle conductor.
struct Buffer {
  static constexpr std::size_t kShownBytes = 1 << 20;
  explicit Buffer(Config chosen, double away_seconds = 600, bool idle = false)
      : config(std::move(chosen)), materials(gather(config)) {
    DirectorStandInPlan standing;
    for (const StageConfig& stage : config.stages)
      standing.stages.push_back({stage.kind, stage.name, stage.updates});
    standing.away_deadline_seconds = away_seconds;
    standing.deadlines = {seconds(1)};
    standing.shown_bytes_kept = kShownBytes;
    standing.telemetry = run.telemetry.get();
    stand_in = system.spawn(director_stand_in, standing);
    const auto tell = [to = stand_in](const auto& record) {
      caf::anon_send(to, news_atom::value, NewsBody(record));
    };
    run.telemetry->listen({tell, tell, tell, tell});
    run.telemetry->rollouts()->hand_on([to = stand_in](const ShownRollout& rollout) {
      caf::anon_send(to, show_atom::value, rollout);
    });
    OfficePlan door;
    door.listen = "127.0.0.1:0";
    door.limits = patient_limits();
    door.terms = {"run", "digest", 0};
    door.director = stand_in;
    door.weights = weight_terms(config, materials.decoder);
    door.deadlines = quick();
    door.telemetry = run.telemetry.get();
    office = std::make_unique<Office>(door);
    plan = {&config, &materials, support::bigram_backends(), run.telemetry.get(), office.get(), {}};
    const auto leader = caf::actor_cast<Director>(stand_in);
    led = idle ? caf::actor_cast<Conductor>(system.spawn(idle_conductor, leader, &closed))
               : caf::actor_cast<Conductor>(
                     system.spawn<caf::detached>(conductor, std::cref(plan), leader));
    caf::anon_send(stand_in, join_atom::value, led);
  }
  ~Buffer() {
    caf::anon_send(std::exchange(led, nullptr), stop_atom::value);
    caf::anon_send(stand_in, close_atom::value, std::string("the test is over"));
    farewell();
    run.telemetry->listen({});
    office.reset();
    caf::anon_send_exit(stand_in, caf::exit_reason::user_shutdown);
  }
  /// Why the run failed, once it is over.
  std::string farewell() {
    std::string why = "nobody answers";
    caf::scoped_actor self(system);
    self->request(stand_in, kLongest, farewell_atom::value)
        .receive([&](const std::string& text) { why = text; }, [](const caf::error&) {});
    return why;
  }

  ShowingRun run{false};
  Config config;
  Materials materials;
  caf::actor_system_config system_config;
  caf::actor_system system{system_config};
  caf::actor stand_in;
  std::unique_ptr<Office> office;
  ConductorPlan plan;
  Conductor led;
  std::atomic<bool> closed = false;  // told to an idle conductor
};

/// The director's process.
struct Led {
  Led(Config chosen, const std::string& address)
      : config(std::move(chosen)), materials(gather(config)) {
    ChairPlan sitting = chair_plan(address, *run.telemetry);
    sitting.weights = weight_terms(config, materials.decoder);
    sitting.system = &system;
    chair = std::make_shared<Chair>(sitting);
    plan.config = &config;
    plan.materials = &materials;
    plan.backends = support::bigram_backends();
    plan.telemetry = run.telemetry.get();
    plan.run_directory = run.directory;
    plan.outcome = &outcome;
    plan.past = chair->past();
    plan.cast_conductor = [this](const Director& director) {
      const Conductor cast = chair->cast_conductor(director);
      proxy = caf::actor_cast<caf::actor>(cast);
      return cast;
    };
    plan.note = [seat = std::weak_ptr<Chair>(chair)](const EvaluationNote& note) {
      if (const auto here = seat.lock()) here->note(note);  // die() may have been faster
    };
    chief = system.spawn<caf::detached>(director, std::cref(plan));
  }
  ~Led() { finish(); }
  static ChairPlan chair_plan(const std::string& address, Telemetry& telemetry) {
    ChairPlan plan;
    plan.name = "director";
    plan.role = "director";
    plan.gate_role = "replay-buffer";
    plan.addresses = {address};
    plan.limits = patient_limits();
    plan.config_digest = "digest";
    plan.telemetry = &telemetry;
    plan.report = [] { return SiteReport{}; };
    plan.deadlines = quick();
    return plan;
  }
  void finish() {
    caf::scoped_actor self(system);
    if (chief) self->wait_for(chief);
    chief = nullptr;
    chair.reset();
  }
  /// As if the process were killed: nothing of it is heard any more.
  void die() {
    chair.reset();
    caf::anon_send(proxy, over_atom::value, std::string("killed"));
    finish();
  }
  std::vector<nlohmann::json> lines(const std::string& type) {
    std::ifstream file(run.directory / "metrics.jsonl");
    std::vector<nlohmann::json> found;
    for (std::string line; std::getline(file, line) && !file.eof();) {  // eof: not whole yet
      auto json = nlohmann::json::parse(line);
      if (json["type"] == type) found.push_back(std::move(json));
    }
    return found;
  }
  std::string model() const { return read_file(run.directory / "model" / "model.safetensors"); }
  bool reaches(std::size_t updates) {
    return until([&] { return lines("update").size() >= updates; });
  }

  ShowingRun run{true};
  Config config;
  Materials materials;
  RunPlan plan;
  RunOutcome outcome;
  caf::actor_system_config system_config;
  caf::actor_system system{system_config};
  std::shared_ptr<Chair> chair;
  caf::actor chief, proxy;
};

Weights weights_of(const Materials& materials, PolicyVersion version) {
  const std::uint64_t elements = gpu::manifest_of(materials.decoder).elements;
  const auto values = std::shared_ptr<float[]>(new float[elements]);
  std::copy(materials.weights.begin(), materials.weights.end(), values.get());
  return {version, gpu::weights_digest(values.get(), elements), values, elements};
}

/// A director whose conductor makes updates 4 and 6 of the second stage. Returns the updates that it measured in their midst.
std::vector<std::int32_t> measured_after(const Past& past) {
  support::TemporaryRun files;
  const Config config = support::small_config();
  const Materials materials = gather(config);
  RunOutcome outcome;
  RunPlan plan;
  plan.config = &config;
  plan.materials = &materials;
  plan.backends = support::bigram_backends();
  plan.telemetry = files.telemetry.get();
  plan.run_directory = files.directory;
  plan.outcome = &outcome;
  plan.past = past;
  std::vector<std::int32_t> measured;
  plan.note = [&](const EvaluationNote& note) {
    if (note.place == EvaluationNote::Place::during) measured.push_back(note.record.update);
  };
  caf::actor_system_config system_config;
  caf::actor_system system(system_config);
  plan.cast_conductor = [&](const Director& director) {
    return caf::actor_cast<Conductor>(
        system.spawn([&, director](caf::event_based_actor* self) -> caf::behavior {
          return {
              [&, self, director](begin_atom, std::uint32_t stage) {
                if (stage == 1)
                  for (const std::int32_t update : {4, 6})
                    self->send(director, updated_atom::value, update, weights_of(materials, 1));
                StageEnd end;
                end.stage = stage;
                self->send(director, ended_atom::value, std::make_shared<const StageEnd>(end));
              },
              [](stop_atom) {},
              [self](close_atom, const std::string&) { self->quit(); },
          };
        }));
  };
  const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
  caf::scoped_actor(system)->wait_for(chief);
  CHECK(outcome.failure == "");
  return measured;
}

RunOutcome in_one_process(const Config& config, support::TemporaryRun& files) {
  const Materials materials = gather(config);
  RunOutcome outcome;
  RunPlan plan;
  plan.config = &config;
  plan.materials = &materials;
  plan.backends = support::bigram_backends();
  plan.telemetry = files.telemetry.get();
  plan.run_directory = files.directory;
  plan.outcome = &outcome;
  {
    caf::actor_system_config system_config;
    caf::actor_system system(system_config);
    const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
    caf::scoped_actor self(system);
    self->wait_for(chief);
  }
  return outcome;
}

std::string model_in_one_process() {
  support::TemporaryRun files;
  REQUIRE(in_one_process(synchronous(), files).failure.empty());
  return read_file(files.directory / "model" / "model.safetensors");
}

std::string readiness(const Telemetry& telemetry) {
  HttpClient client(telemetry.metrics_port());
  client.send("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  return client.receive();
}

/// Each update once and in order, the ledger balanced, both stages told as they were.
void check_files(Led& led) {
  const auto updates = led.lines("update");
  std::vector<std::int32_t> rollout_updates;
  for (const auto& line : updates)
    if (line.contains("reward_mean")) rollout_updates.push_back(line["update"]);
  REQUIRE(rollout_updates.size() == kUpdates);
  for (std::int32_t i = 0; i < kUpdates; ++i)
    CHECK(rollout_updates[static_cast<std::size_t>(i)] == i + 1);
  led.run.telemetry->write_files("done");
  const auto summary = nlohmann::json::parse(read_file(led.run.directory / "summary.json"));
  REQUIRE(summary["stages"].size() == 2);
  CHECK(summary["stages"][0]["updates"] == 30);
  const auto& rl = summary["stages"][1];
  CHECK(rl["updates"] == kUpdates);
  CHECK(rl["ledger_imbalance"] == 0);
  CHECK(rl["tokens_beyond_bound"] == 0);
  CHECK(rl["generated_tokens"] > 0);
  CHECK(rl["before"]["pass_rate_sampled"].is_number());
  CHECK(rl["after"]["pass_rate_sampled"].is_number());
  auto evaluations = led.lines("evaluation");
  REQUIRE(evaluations.size() >= 2);
  evaluations
      .pop_back();  // that after the stage is of the newest update, which may have been measured before
  std::set<std::int32_t> measured;
  for (const auto& line : evaluations)
    CHECK(measured.insert(line["update"].get<std::int32_t>()).second);
}

}  // namespace

TEST_CASE("a run led from another process ends with the model that it has in one") {
  Buffer buffer(synchronous());
  Led led(synchronous(), buffer.office->address());
  buffer.run.telemetry->event("joined", "here and gone");
  led.finish();
  CHECK(led.outcome.failure.empty());
  CHECK(buffer.farewell().empty());
  CHECK(led.model() == model_in_one_process());
  check_files(led);
  check_shown(led.run);
  const auto events = led.lines("event");  // of both
  CHECK(std::count_if(events.begin(), events.end(), [](const nlohmann::json& event) {
          return event["kind"] == "joined" && event["text"] == "here and gone";
        }) == 1);
}

TEST_CASE("a director whose link is cut goes on where it was") {
  Buffer buffer(synchronous());
  Forwarder forwarder(buffer.office->address());
  Led led(synchronous(), forwarder.address());
  for (const std::size_t updates : {2u, 5u, 8u}) {
    REQUIRE(led.reaches(updates));
    forwarder.cut();
  }
  led.finish();
  CHECK(led.outcome.failure.empty());
  CHECK(led.model() == model_in_one_process());
  check_files(led);
  check_shown(led.run);
}

TEST_CASE("a run goes on without its director and another takes its place with all that was") {
  Config config = synchronous();
  config.evaluation.every = 2;
  Buffer buffer(config);
  auto first = std::make_unique<Led>(config, buffer.office->address());
  REQUIRE(first->reaches(4));
  buffer.run.telemetry->pause(true);  // in mid-stage until the other is there
  REQUIRE(until([&] { return first->lines("evaluation").size() >= 2; }));
  const auto before = first->lines("evaluation");
  first->die();
  Led second(config, buffer.office->address());
  CHECK(second.plan.past.has_begun(1));
  REQUIRE_FALSE(second.plan.past.evaluations.empty());
  CHECK(second.run.telemetry->paused());
  second.chair->pause(false);  // as on its dashboard
  second.finish();
  CHECK(second.outcome.failure.empty());
  CHECK(buffer.farewell().empty());
  CHECK(second.model() == model_in_one_process());
  check_files(second);
  check_shown(second.run);
  CHECK(second.lines("evaluation")[0]["pass_rate_sampled"] == before[0]["pass_rate_sampled"]);
  CHECK_FALSE(std::filesystem::exists(second.run.directory / "base"));  // the first has saved it
}

TEST_CASE("a director that comes when all stages have ended is told of them again") {
  Buffer buffer(synchronous());
  auto first = std::make_unique<Led>(synchronous(), buffer.office->address());
  REQUIRE(first->reaches(1));
  first->die();
  REQUIRE(until([&] { return buffer.run.telemetry->overview().update == kUpdates; }));
  Led second(synchronous(), buffer.office->address());
  second.finish();
  CHECK(second.outcome.failure.empty());
  CHECK(second.model() == model_in_one_process());
  check_files(second);
  check_shown(second.run);
}

TEST_CASE("what was measured in the midst of a stage is not measured again") {
  Past past;
  past.begun = {0, 1};
  EvaluationNote known;
  known.stage = 1;
  known.place = EvaluationNote::Place::during;
  known.record.update = 4;
  past.evaluations = {known};
  CHECK(measured_after(past) == std::vector<std::int32_t>{6});
}

TEST_CASE("a director that has said that the run is over goes with the link") {
  Config config = synchronous();
  config.director.request_deadline_seconds = 600;
  Buffer buffer(config, 600, true);
  Forwarder forwarder(buffer.office->address());
  Led led(config, forwarder.address());
  REQUIRE(until([&] { return buffer.closed.load(); }));
  const auto gone = std::async(std::launch::async, [&] { led.finish(); });
  std::chrono::milliseconds wait{10};  // longer each time: the word may not have been answered yet
  CHECK(until([&] {
    forwarder.cut();
    return gone.wait_for(wait *= 2) == std::future_status::ready;
  }));
  CHECK(led.outcome.failure == "");
}

TEST_CASE("a director counts the rollouts that were forgotten before it came and shows the rest") {
  Config config = synchronous();
  config.director.request_deadline_seconds = 600;
  Buffer buffer(config, 600, true);
  constexpr std::size_t kEach = 10'000;
  const std::size_t many = Buffer::kShownBytes / kEach + 20;
  for (std::uint64_t id = 0; id < many; ++id)
    buffer.run.telemetry->rollouts()->show(shown_of_bytes(kEach, id));
  Led led(config, buffer.office->address());
  REQUIRE(until([&] { return buffer.closed.load(); }));
  caf::anon_send(buffer.led, stop_atom::value);
  led.finish();
  const auto shown = led.run.shown();
  CHECK(led.run.not_shown("forgotten") >= 20);
  CHECK(led.run.not_shown("forgotten") < 40);
  CHECK(led.run.not_shown("refused") == 0);
  REQUIRE_FALSE(shown.empty());
  CHECK(shown.size() + static_cast<std::size_t>(led.run.not_shown("forgotten")) == many);
  CHECK(std::stoul(shown.back().id, nullptr, 16) == many - 1);
}

TEST_CASE("what is known of peers there is known to the director until they leave") {
  Config config = synchronous();
  config.stages[1].updates = 100'000;
  Buffer buffer(config);
  Led led(config, buffer.office->address());
  REQUIRE(led.reaches(2));
  Telemetry& there = *buffer.run.telemetry;
  const auto peer = [&]() -> std::optional<ActorView> {
    for (const ActorView& actor : led.run.telemetry->actors())
      if (actor.name == "gen-7f9c") return actor;
    return std::nullopt;
  };
  there.peer("gen-7f9c", true);
  there.peer_says({"gen-7f9c", "decode", {1, 2}, 7});
  there.lends(1000);
  REQUIRE(until([&] { return peer() && peer()->away; }));
  CHECK(peer()->away == true);
  CHECK(peer()->phase == "decode");
  CHECK(until([&] { return led.run.telemetry->at_verifiers() >= 1000u; }));
  CHECK(led.run.telemetry->scrape().find("gen-7f9c") != std::string::npos);
  there.peer_left("gen-7f9c");
  CHECK(until([&] { return !peer(); }));
  CHECK(led.run.telemetry->scrape().find("gen-7f9c") == std::string::npos);
  caf::anon_send(led.chief, stop_atom::value);
  led.finish();
  CHECK(led.outcome.failure == "");
}

TEST_CASE("nothing is taken for stalled while ranks are awaited") {
  Config config = synchronous();
  config.director.stall_deadline_seconds = 1e-6;
  {
    support::TemporaryRun files;
    CHECK(in_one_process(config, files).failure.find("director.stall-deadline-seconds") !=
          std::string::npos);
  }
  support::TemporaryRun files;
  files.telemetry->activity("learner-1").enter(kWaitForRanks, false);
  CHECK(in_one_process(config, files).failure == "");
}

TEST_CASE("the link of one role does not stand for that of another") {
  Config config = synchronous();
  Buffer buffer(config, 600, true);
  support::TemporaryRun files;
  TelemetryOptions seen;
  seen.run_directory = files.directory / "ready";
  seen.quiet = true;
  seen.metrics_port = 0;
  seen.needs = {"link of director", "link of generator"};
  Telemetry telemetry(seen);
  ChairPlan plan = Led::chair_plan(buffer.office->address(), telemetry);
  caf::actor_system_config system_config;
  caf::actor_system system(system_config);
  plan.weights = weight_terms(config, gather(config).decoder);
  plan.system = &system;
  const Chair chair(plan);
  CHECK(until(
      [&] { return readiness(telemetry).find("\"link of director\":true") != std::string::npos; }));
  CHECK(readiness(telemetry).find("\"link of generator\":false") != std::string::npos);
  telemetry.meets("link of generator", true);
  CHECK(readiness(telemetry).rfind("HTTP/1.1 200", 0) == 0);
}

TEST_CASE("events after the conductor's end do not keep a director that has heard of it") {
  Buffer buffer(synchronous(), 600, true);
  const auto end_of_news = [&] {
    std::uint64_t end = 0;
    bool over = false;
    caf::scoped_actor self(buffer.system);
    self->request(buffer.stand_in, kLongest, news_atom::value, std::uint64_t{0}, false)
        .receive(
            [&](const NewsPage& page) {
              end = page.end;
              over = !page.news.empty() &&
                     std::holds_alternative<ConductorOver>(page.news.back().body);
            },
            [](const caf::error&) {});
    return over ? end : 0;
  };
  caf::anon_send(buffer.led, stop_atom::value);
  REQUIRE(until([&] { return end_of_news() > 0; }));
  const std::uint64_t end = end_of_news();
  buffer.run.telemetry->event("left", "too late");
  CHECK(end_of_news() == end);
}

TEST_CASE("a run without a director ends after its deadline with that reason") {
  Buffer buffer(synchronous(), 0.1);
  CHECK(buffer.farewell().find("network.away-deadline-seconds") != std::string::npos);
}

TEST_CASE("a director that is told to stop while the replay buffer is away saves what it has") {
  Config config = synchronous();
  config.stages[1].updates = 100'000;
  auto buffer = std::make_unique<Buffer>(config);
  Forwarder forwarder(buffer->office->address());
  Led led(config, forwarder.address());
  REQUIRE(led.reaches(4));
  forwarder.open(false);
  forwarder.cut();
  caf::anon_send(led.chief, stop_atom::value);
  led.finish();
  CHECK(led.outcome.failure.find("told to stop") != std::string::npos);
  CHECK_FALSE(led.model().empty());
}

}  // namespace troupe
