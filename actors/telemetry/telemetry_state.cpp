#include "actors/telemetry/telemetry_state.hpp"

#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <prometheus/counter.h>

namespace troupe {

namespace {

constexpr auto kRedrawEvery = std::chrono::milliseconds(200);
constexpr std::uint64_t kMostRolloutBytes = std::uint64_t{64} << 20;

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

spdlog::level::level_enum level_of(const std::string& event_kind) {
  if (has(event_kind, "error") || has(event_kind, "fail")) return spdlog::level::err;
  for (const char* part : {"warn", "restart", "refus", "stall", "died", "lost", "interrupt",
                           "mismatch", "skip", "slow"})
    if (has(event_kind, part)) return spdlog::level::warn;
  return spdlog::level::info;
}

std::filesystem::path made(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

Telemetry::State::State(TelemetryOptions given)
    : options(std::move(given)),
      folder(made(options.run_directory)),
      leftover(read_told(folder / "metrics.jsonl")),
      lines(folder / "metrics.jsonl") {
  run.id = options.run_id;
  run.name = options.run_name;
  run.config_json = options.config_json;
  run.config_digest = options.config_digest;
  run.model_description = options.model_description;
  run.build_description = options.build_description;
  run.started = iso_utc(std::chrono::system_clock::now());
  const auto terminal = std::make_shared<TerminalSink>(error_terminal);
  terminal->set_level(options.quiet ? spdlog::level::warn : spdlog::level::info);
  logger = std::make_unique<spdlog::logger>(
      "troupe",
      spdlog::sinks_init_list{terminal, std::make_shared<JsonFileSink>(folder / "log.jsonl")});
  logger->set_level(spdlog::level::debug);
  metrics
      .gauge("troupe_build_info",
             options.build_description.empty() ? "unknown" : options.build_description)
      .Set(1);
  for (const std::string& need : options.needs) needs[need] = false;
  if (options.metrics_port)
    server = std::make_unique<HttpServer>(options.metrics_address, *options.metrics_port, pages());
  if (options.tensorboard) event_file.emplace(folder);
  if (options.lineage)
    lineage = std::make_unique<Lineage>(
        folder / "lineage.jsonl", run.name, run.config_digest, [this] { return now(); },
        [this] {
          std::unique_lock held(mutex);
          note("telemetry error",
               "a line of lineage.jsonl is lost (disk full?); later losses are not reported", held);
        });
  if (options.rollouts_per_update > 0) rollouts = rollout_log();
  std::unique_lock lock(mutex);
  write_line(run_line(run), lock);
  tell(run_line(run));
  if (options.terminal_status && !options.quiet)
    redraw_thread = std::thread([this] { redraw_until_stopped(); });
}

std::unique_ptr<RolloutLog> Telemetry::State::rollout_log() {
  RolloutLog::Hearer hearer;
  hearer.lost = [this](const std::string& problem) {
    std::unique_lock held(mutex);
    note("telemetry error", problem, held);
  };
  hearer.unreadable = [this] {
    metrics.counter("troupe_run_rollouts_not_shown_total", "unknown_token").Increment();
  };
  return std::make_unique<RolloutLog>(folder / "rollouts.jsonl",
                                      RolloutLog::Terms{.per_update = options.rollouts_per_update,
                                                        .most_bytes = kMostRolloutBytes,
                                                        .piece = options.token_text},
                                      std::move(hearer));
}

Telemetry::State::~State() {
  server.reset();
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  stop_condition.notify_all();
  if (redraw_thread.joinable()) redraw_thread.join();
}

double Telemetry::State::wall_time(double seconds) const {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since_1970).count() - now() + seconds;
}

std::vector<std::pair<std::string, ActorTime>> Telemetry::State::actor_times() const {
  const std::lock_guard lock(actors_mutex);
  std::vector<std::pair<std::string, ActorTime>> times;
  for (const auto& [name, one] : actors) {
    const ActorTime time = one.log->totals_since_mark();
    if (time.busy_seconds + time.idle_seconds > 0) times.emplace_back(name, time);
  }
  return times;
}

StatusView Telemetry::State::view() {
  const StageLog& s = run.stage();
  StatusView v;
  v.run = run.name;
  v.stage = s.name;
  v.update = s.updates_done();
  v.updates = s.updates;
  v.stage_seconds = now() - s.begin;
  v.staleness_bound = run.staleness_bound();
  if (!s.rollout_updates.empty()) v.rollout_update = s.rollout_updates.back();
  if (!s.supervised_updates.empty()) v.supervised = s.supervised_updates.back();
  if (!s.evaluations.empty()) v.evaluation = s.evaluations.back();
  v.ledger = s.ledger;
  double generator_busy = 0, generators = 0;
  for (const auto& [actor, time] : actor_times()) {
    v.idle.emplace_back(actor, time.idle_ratio());
    const bool generates = actor.starts_with("gen");  // generator-0 here, gen-0 elsewhere
    if (generates) generator_busy += time.busy_seconds, ++generators;
  }
  if (generator_busy > 0)
    v.generator_tokens_per_second =
        static_cast<double>(s.ledger.generated_tokens) * generators / generator_busy;
  v.learner_tokens_per_second = recent_tokens_per_second(s.rollout_updates.kept());
  if (!s.probes.empty()) v.gate_share = s.probes.back().gate_share;
  return v;
}

/// Of the newest stage, whose prompts both are of.
void Telemetry::State::compare_rewards() {
  const StageLog& stage = run.stage();
  if (!plays("director") || stage.rollout_updates.empty() || stage.evaluations.empty()) return;
  metrics.gauge("troupe_trust_reward_gap")
      .Set(stage.rollout_updates.back().reward_mean - stage.evaluations.back().reward_mean);
}

void Telemetry::State::write_line(const std::string& line, std::unique_lock<std::mutex>& lock) {
  if (!lines.write(line))
    note("telemetry error",
         "a line of " + (folder / "metrics.jsonl").string() +
             " is lost (disk full?); later losses are not reported",
         lock);
}

void Telemetry::State::plot(const TensorBoardEvent& event, std::unique_lock<std::mutex>& lock) {
  if (event_file && !event_file->write(event))
    note("telemetry error",
         "an event for TensorBoard is lost (disk full?); later losses are not reported", lock);
}

/// A line of progress: to stdout when plain, above the live status otherwise.
void Telemetry::State::say(const std::string& line) {
  if (options.quiet || options.json_progress) return;
  (options.terminal_status ? error_terminal : plain_terminal).print_above(line);
}

void Telemetry::State::show(const std::string& plain, const std::string& json, bool said) {
  if (said) return;
  if (!plain.empty()) say(plain);
  tell(json);
}

/// A line of metrics.jsonl, to the program that asked for them.
void Telemetry::State::tell(const std::string& json) {
  if (options.json_progress) plain_terminal.print_above(json);
}

void Telemetry::State::note(const std::string& kind, const std::string& text,
                            std::unique_lock<std::mutex>& lock) {
  metrics.counter("troupe_run_events_total", kind.empty() ? "other" : kind).Increment();
  const EventRecord event{now(), kind, text};
  if (listener.events) listener.events(event);
  show(event, false, lock);
}

/// `said`: by the process before this one.
void Telemetry::State::show(const EventRecord& event, bool said,
                            std::unique_lock<std::mutex>& lock) {
  const std::string line = event_line(event);
  run.add(event);
  write_line(line, lock);
  if (said) return;
  lock.unlock();
  tell(line);
  logger->log(level_of(event.kind), fmt::format("{}: {}", event.kind, event.text));
  lock.lock();
}

void Telemetry::State::redraw_until_stopped() {
  std::unique_lock lock(mutex);
  while (!stop_condition.wait_for(lock, kRedrawEvery, [this] { return stopping; })) {
    if (run.stages.empty()) continue;
    const StatusView now_seen = view();
    const bool running = !run.stages.back().end;
    lock.unlock();
    error_terminal.draw(running ? status_block(now_seen, error_terminal.width(), options.colour)
                                : std::vector<std::string>{});
    lock.lock();
  }
  lock.unlock();
  error_terminal.draw({});
}

}  // namespace troupe
