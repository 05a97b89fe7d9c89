#include "actors/telemetry/telemetry.hpp"

#include "actors/telemetry/rollout_log.hpp"
#include "tests/actors/telemetry/http_client.hpp"
#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"
#include "tests/support/shown_rollouts.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <spdlog/logger.h>
#include <sstream>
#include <thread>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

using Json = nlohmann::json;

TelemetryOptions quiet_options(const TemporaryFolder& folder) {
  TelemetryOptions options;
  options.run_directory = folder.path;
  options.quiet = true;
  options.run_name = "demo";
  options.run_id = "0123456789abcdef0123456789abcdef";
  options.config_json = R"({"run":{"seed":7},"replay-buffer":{"staleness-bound":2}})";
  options.build_description = "troupe test";
  return options;
}

std::vector<Json> lines_of(const TemporaryFolder& folder, const char* file) {
  std::istringstream stream(folder.read(file));
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

bool is_status(const std::string& reply, int status) {
  return reply.rfind("HTTP/1.1 " + std::to_string(status) + " ", 0) == 0;
}

void make_a_run(Telemetry& telemetry) {
  telemetry.stage_begins(0, "rl", "reason", 50);
  telemetry.activity("learner").enter("train", true);
  telemetry.record(sample_update(1));
  telemetry.record(sample_ledger());
  telemetry.record(EvaluationRecord{9, 10, 128, 0.9, 0.97, 0.99, 29.5, 0.4});
  telemetry.event("gate", "passed");
  telemetry.stage_ends(sample_stage());
}

}  // namespace

TEST_CASE("a process that joins a run takes over its id") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  const std::string other(32, 'e');
  telemetry.joined_run(other);
  telemetry.joined_run(other);  // after a lost link
  CHECK(telemetry.run_id() == other);
  const auto lines = lines_of(folder, "metrics.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["run_id"] == "0123456789abcdef0123456789abcdef");
  CHECK(lines[1]["run_id"] == other);
}

TEST_CASE("every record is a line of metrics.jsonl at once and in order") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  make_a_run(telemetry);
  const auto lines = lines_of(folder, "metrics.jsonl");
  std::vector<std::string> types;
  for (const auto& line : lines) types.push_back(line["type"]);
  CHECK(types == std::vector<std::string>{"run", "stage_begins", "update", "ledger", "evaluation",
                                          "event", "stage_ends"});
  CHECK(lines[0]["troupe_metrics_version"] == 1);
  CHECK(lines[2]["reward_mean"] == 0.912);
}

TEST_CASE("the files are written from what was recorded and may be written again") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.trace = true;
  Telemetry telemetry(options);
  telemetry.write_files("running");
  make_a_run(telemetry);
  telemetry.write_files("done");
  const Json summary = Json::parse(folder.read("summary.json"));
  CHECK(summary["ended"] == "done");
  CHECK(summary["seed"] == 7);
  CHECK(summary["stages"][0]["generated_tokens"] == 3000);
  CHECK(folder.read("report.html").find("<title>demo</title>") != std::string::npos);
  CHECK(folder.read("trace.json").find("\"train\"") != std::string::npos);
  CHECK(telemetry.report_path() == folder.path / "report.html");
  CHECK(telemetry.closing_text().find("held-out pass rate, greedy           0.630     1.000") !=
        std::string::npos);
}

TEST_CASE("without --trace there is no trace") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  telemetry.write_files("done");
  CHECK_FALSE(std::filesystem::exists(folder.path / "trace.json"));
}

TEST_CASE("a stage without times of actors gets those of the activity logs") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  telemetry.stage_begins(0, "rl", "rl", 1);
  telemetry.activity("learner").enter("train", true);
  while (telemetry.activity("learner").totals_since_mark().busy_seconds <= 0) {
  }
  StageRecord stage = sample_stage();
  stage.actors.clear();
  telemetry.stage_ends(stage);
  telemetry.write_files("done");
  CHECK(Json::parse(folder.read("summary.json"))["stages"][0]["idle_ratio"] ==
        Json{{"learner", 0.0}});
}

TEST_CASE("one actor has one activity log") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  CHECK(&telemetry.activity("a") == &telemetry.activity("a"));
  CHECK(&telemetry.activity("a") != &telemetry.activity("b"));
  CHECK(telemetry.activity("a").actor() == "a");
}

TEST_CASE("a run that began in another process counts its time from there") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  telemetry.event("joined", "the replay buffer's process");
  const auto before = lines_of(folder, "metrics.jsonl");
  telemetry.began_before(5000);
  CHECK(telemetry.seconds_since_start() >= 5000);
  const auto lines = lines_of(folder, "metrics.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["started_at"] < before[0]["started_at"]);  // ISO 8601 sorts by time
  CHECK(lines[1]["text"] == "the replay buffer's process");
  CHECK(lines[1]["seconds"] >= 5000);
}

TEST_CASE("what is recorded of a ledger elsewhere is told and not exported") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  std::vector<LedgerRecord> told;
  telemetry.listen({{}, {}, [&](const LedgerRecord& ledger) { told.push_back(ledger); }, {}});
  telemetry.stage_begins(0, "rl", "rl", 1);
  const std::string before = telemetry.metrics().expose();
  telemetry.record(sample_ledger(), Telemetry::Origin::elsewhere);
  CHECK(telemetry.metrics().expose() == before);
  REQUIRE(told.size() == 1);
  CHECK(told[0].trained_rollouts == sample_ledger().trained_rollouts);
  CHECK(lines_of(folder, "metrics.jsonl").back()["type"] == "ledger");
  telemetry.record(sample_ledger());
  CHECK(telemetry.metrics().expose() != before);
}

TEST_CASE("the log of a process that is started again in the same folder goes on") {
  const TemporaryFolder folder;
  { Telemetry(quiet_options(folder)).event("joined", "the first"); }
  Telemetry(quiet_options(folder)).event("joined", "the second");
  const auto lines = lines_of(folder, "log.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["text"] == "joined: the first");
}

TEST_CASE("events and log lines are JSON in log.jsonl whatever they hold") {
  const TemporaryFolder folder;
  {
    Telemetry telemetry(quiet_options(folder));
    telemetry.event("gate", "a \"quoted\"\nline \xff");
    telemetry.log().debug("plain");
  }
  const auto lines = lines_of(folder, "log.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["level"] == "info");
  CHECK(lines[0]["text"] == "gate: a \"quoted\"\nline \xEF\xBF\xBD");
  CHECK(lines[1]["level"] == "debug");
}

TEST_CASE("a full disk is told once as an event and stops nobody") {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder.path / "metrics.jsonl");
  Telemetry telemetry(quiet_options(folder));
  make_a_run(telemetry);
  int told = 0;
  for (const auto& line : lines_of(folder, "log.jsonl"))
    told += line["text"].get<std::string>().find("metrics.jsonl is lost") != std::string::npos;
  CHECK(told == 1);
  telemetry.write_files("done");
  CHECK(folder.read("report.html").find("is lost") != std::string::npos);
}

TEST_CASE("a file that cannot be written is an event and the others are written") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  std::filesystem::create_directory(folder.path / "summary.json");
  telemetry.write_files("done");
  CHECK(std::filesystem::is_regular_file(folder.path / "report.html"));
  CHECK(lines_of(folder, "log.jsonl").back()["text"].get<std::string>().find("summary.json") !=
        std::string::npos);
}

TEST_CASE("metrics and health and an index are served on one port") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.metrics_port = free_port();  // any free one is taken with 0
  options.run_name = "<script>demo";
  Telemetry telemetry(options);
  make_a_run(telemetry);
  CHECK(telemetry.metrics_port() == options.metrics_port);
  const std::string metrics = http_get(*options.metrics_port, "/metrics");
  CHECK(metrics.find("\ntroupe_learner_updates_total 1\n") != std::string::npos);
  CHECK(metrics.find("troupe_actor_idle_ratio{actor=\"learner\"} 0\n") != std::string::npos);
  CHECK(metrics.find("troupe_build_info{build=\"troupe test\"} 1\n") != std::string::npos);
  CHECK(metrics.find("troupe_run_events_total{kind=\"gate\"} 1\n") != std::string::npos);
  const std::string index = http_get(*options.metrics_port, "/");
  CHECK(index.find("href=metrics") != std::string::npos);
  CHECK(index.find("<script>") == std::string::npos);
}

TEST_CASE("no server runs without a port") {
  const TemporaryFolder folder;
  CHECK(Telemetry(quiet_options(folder)).metrics_port() == 0);
}

TEST_CASE("who is at work without progress for too long is named and who waits is not") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.metrics_port = 0;
  options.progress_deadline_seconds = 1e-9;  // any answer comes later than that
  Telemetry telemetry(options);
  const auto health = [&] { return http_get(telemetry.metrics_port(), "/healthz"); };
  CHECK(is_status(health(), 200));  // nobody is there
  telemetry.activity("learner").enter("wait for batch", false);
  telemetry.progress("learner");
  CHECK(is_status(health(), 200));
  telemetry.activity("learner").enter("train", true);
  CHECK(is_status(health(), 503));
  CHECK(health().find("\"stalled\":[\"learner\"]") != std::string::npos);
  CHECK(health().find("\"doing\":\"train\"") != std::string::npos);
  telemetry.activity("learner").enter("wait for batch", false);
  CHECK(is_status(health(), 200));
  telemetry.pulse("replay-buffer").begins(Clock::now());  // in the middle of a message
  CHECK(health().find("\"stalled\":[\"replay-buffer\"]") != std::string::npos);
  telemetry.pulse("replay-buffer").ends();
  CHECK(is_status(health(), 200));
}

TEST_CASE("progress keeps who is at work healthy") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.metrics_port = 0;
  options.progress_deadline_seconds = 3600;
  Telemetry telemetry(options);
  telemetry.pulse("learner").begins(Clock::now() - std::chrono::hours(2));
  CHECK(is_status(http_get(telemetry.metrics_port(), "/healthz"), 503));
  telemetry.progress("learner");
  CHECK(is_status(http_get(telemetry.metrics_port(), "/healthz"), 200));
}

TEST_CASE("a process is ready while all its needs are met") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.metrics_port = 0;
  options.needs = {"link", "stage"};
  Telemetry telemetry(options);
  const auto ready = [&] { return is_status(http_get(telemetry.metrics_port(), "/readyz"), 200); };
  CHECK_FALSE(ready());
  telemetry.meets("link", true);
  telemetry.meets("weights", false);  // nobody needs them here
  CHECK_FALSE(ready());
  telemetry.stage_begins(0, "rl", "rl", 1);
  CHECK(ready());
  telemetry.meets("link", false);
  CHECK_FALSE(ready());
}

TEST_CASE("a process without a director has neither the run's figures nor the age of a model") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.roles = {"learner"};
  Telemetry telemetry(options);
  telemetry.stage_begins(0, "rl", "reason", 50);
  telemetry.record(sample_update(1));
  const std::string page = telemetry.scrape();
  CHECK(page.find("troupe_run_update ") == std::string::npos);
  CHECK(page.find("troupe_learner_checkpoint_age_seconds") == std::string::npos);
  CHECK(page.find("\ntroupe_learner_updates_total 1\n") != std::string::npos);
}

TEST_CASE(
    "the director's process has the run's figures of a learner elsewhere and not the learner's") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.roles = {"director"};
  Telemetry telemetry(options);
  telemetry.stage_begins(0, "rl", "reason", 50);
  telemetry.record(sample_update(12), Telemetry::Origin::elsewhere);
  const std::string page = telemetry.scrape();
  CHECK(page.find("\ntroupe_run_update 12\n") != std::string::npos);
  CHECK(page.find("troupe_learner_updates_total") == std::string::npos);
}

TEST_CASE("whoever looks before each scrape has its say in it") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  int looks = 0;
  telemetry.before_scrape([&](Metrics& metrics) {
    metrics.gauge("troupe_link_certificate_expiry_timestamp_seconds", "gen-0").Set(++looks);
  });
  const std::string name = "troupe_link_certificate_expiry_timestamp_seconds{name=\"gen-0\"} ";
  CHECK(telemetry.scrape().find(name + "1\n") != std::string::npos);
  CHECK(telemetry.scrape().find(name + "2\n") != std::string::npos);
}

TEST_CASE("the free space of the run directory's disk is told") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  const std::string page = telemetry.scrape(), name = "\ntroupe_run_disk_free_bytes ";
  CHECK(std::stod(page.substr(page.find(name) + name.size())) > 0);
}

TEST_CASE("nobody is expected to move while a run is paused") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  telemetry.stage_begins(0, "rl", "reason", 50);
  telemetry.progress("learner");
  telemetry.pause(true);
  telemetry.pause(true);  // is no second event
  CHECK(telemetry.paused());
  CHECK(telemetry.seconds_since_progress() == 0);
  CHECK(telemetry.overview().stage == "reason (paused)");
  CHECK(telemetry.scrape().find("troupe_run_paused 1") != std::string::npos);
  const double stood_still = telemetry.seconds_since_progress("learner");
  telemetry.pause(false);
  CHECK(telemetry.seconds_since_progress() < telemetry.seconds_since_progress("learner"));
  CHECK(stood_still > 0);
  CHECK(telemetry.overview().stage == "reason");
  std::vector<std::string> kinds;
  for (const Json& line : lines_of(folder, "metrics.jsonl"))
    if (line["type"] == "event") kinds.push_back(line["kind"]);
  CHECK(kinds == std::vector<std::string>{"paused", "resumed"});
}

TEST_CASE("rollouts are written and kept where somebody wants them and can read tokens") {
  const TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  CHECK(Telemetry(options).rollouts() == nullptr);
  options.rollouts_per_update = 2;
  Telemetry(options).rollouts()->show(support::shown());
  CHECK_FALSE(std::filesystem::exists(folder.path / "rollouts.jsonl"));
  options.token_text = [](std::int32_t token) { return token < 9 ? std::to_string(token) : ""; };
  Telemetry telemetry(options);
  REQUIRE(telemetry.rollouts() != nullptr);
  telemetry.rollouts()->show(support::shown());  // has a token 9
  telemetry.rollouts()->show(support::shown({.tokens = {1, 2, 3}, .reward = 0.5f}));
  CHECK(lines_of(folder, "rollouts.jsonl").size() == 1);
  CHECK(lines_of(folder, "rollouts.jsonl").at(0)["reward"] == 0.5);
  CHECK(
      telemetry.scrape().find("troupe_run_rollouts_not_shown_total{reason=\"unknown_token\"} 1") !=
      std::string::npos);
}

TEST_CASE("many actors may report at once") {
  const TemporaryFolder folder;
  Telemetry telemetry(quiet_options(folder));
  telemetry.stage_begins(0, "rl", "rl", 400);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&telemetry, t] {
      const std::string actor = "generator-" + std::to_string(t % 2);
      for (int i = 1; i <= 100; ++i) {
        telemetry.record(sample_update(i));
        telemetry.progress(actor);
        telemetry.metrics().counter("troupe_actor_restarts_total", actor).Increment();
        if (i % 50 == 0) telemetry.write_files("running");
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(lines_of(folder, "metrics.jsonl").size() == 402);
  CHECK(telemetry.metrics().counter("troupe_learner_updates_total").Value() == 400);
}

TEST_CASE("the age of the saved model counts from the last time one was saved") {
  TemporaryFolder folder;
  TelemetryOptions options;
  options.run_directory = folder.path;
  options.quiet = true;
  Telemetry telemetry(options);
  const auto age = [&] {
    const std::string page = telemetry.scrape();
    const std::string name = "\ntroupe_learner_checkpoint_age_seconds ";
    return std::stod(page.substr(page.find(name) + name.size()));
  };
  while (age() < 0.05) continue;  // nothing saved: since the run began
  const double before = age();
  telemetry.model_saved();
  CHECK(age() <= telemetry.seconds_since_start() - before);
}

TEST_CASE("rewards in training and on held-out prompts are compared within a stage") {
  TemporaryFolder folder;
  TelemetryOptions options = quiet_options(folder);
  options.environment = "addition";
  Telemetry telemetry(options);
  const auto shows = [&](const std::string& line) {
    return telemetry.scrape().find("\n" + line + "\n") != std::string::npos;
  };
  RolloutUpdateRecord update = sample_update(1);
  EvaluationRecord evaluation;
  telemetry.stage_begins(0, "rl", "reason", 5);
  evaluation.reward_mean = 0.25;
  telemetry.record(evaluation);
  CHECK(shows("troupe_trust_holdout_reward_mean{env=\"addition\"} 0.25"));
  CHECK(shows("troupe_trust_reward_gap 0"));  // nothing to compare it with
  update.reward_mean = 0.75;
  telemetry.record(update);
  CHECK(shows("troupe_trust_reward_mean{env=\"addition\"} 0.75"));
  CHECK(shows("troupe_trust_reward_gap 0.5"));
  evaluation.reward_mean = 1;
  telemetry.record(evaluation);
  CHECK(shows("troupe_trust_reward_gap -0.25"));
  telemetry.stage_begins(1, "rl", "again", 5);
  update.reward_mean = 0.5;
  telemetry.record(update);
  CHECK(shows("troupe_trust_reward_gap -0.25"));  // that was measured with other prompts
}

TEST_CASE("what a verifier holds ages until it holds nothing") {
  TemporaryFolder folder;
  TelemetryOptions options;
  options.run_directory = folder.path;
  options.quiet = true;
  Telemetry telemetry(options);
  telemetry.holds_since("verifier-0", Clock::now() - std::chrono::seconds(100));
  const std::string name = "troupe_verifier_oldest_pending_seconds{actor=\"verifier-0\"} ";
  CHECK(telemetry.scrape().find(name + "10") != std::string::npos);
  telemetry.holds_since("verifier-0", {});
  CHECK(telemetry.scrape().find(name + "0\n") != std::string::npos);
}

}  // namespace troupe
