#include "actors/telemetry/telemetry.hpp"

#include "actors/telemetry/closing_text.hpp"
#include "actors/telemetry/health.hpp"
#include "actors/telemetry/http_server.hpp"
#include "actors/telemetry/line_file.hpp"
#include "actors/telemetry/lineage.hpp"
#include "actors/telemetry/log_sinks.hpp"
#include "actors/telemetry/metrics_export.hpp"
#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/report.hpp"
#include "actors/telemetry/rollout_log.hpp"
#include "actors/telemetry/run_log.hpp"
#include "actors/telemetry/status.hpp"
#include "actors/telemetry/summary.hpp"
#include "actors/telemetry/tensorboard.hpp"
#include "actors/telemetry/text.hpp"
#include "actors/telemetry/told.hpp"
#include "actors/telemetry/trace.hpp"
#include "gpu/model/atomic_file.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <spdlog/logger.h>
#include <sys/resource.h>
#include <thread>

namespace troupe {

namespace {

constexpr auto kRedrawEvery = std::chrono::milliseconds(200);
constexpr std::uint64_t kMostRolloutBytes = std::uint64_t{64} << 20;
constexpr std::size_t kSpans = 50'000, kSpansWithTrace = 500'000;  // per actor; 32 bytes each

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

std::uint64_t peak_memory_bytes() {
  constexpr std::uint64_t kKibibyte = 1024;  // what Linux counts in
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * kKibibyte;
}

std::filesystem::path made(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

struct Telemetry::State {
  Listener listener;
  explicit State(TelemetryOptions given);
  ~State();

  double now() const { return std::chrono::duration<double>(Clock::now() - start.load()).count(); }
  double wall_time(double seconds) const;  // since 1970, of a moment of the run
  RunLog snapshot() const;
  std::vector<std::pair<std::string, ActorTime>> actor_times() const;  // since the stage began
  StatusView view();
  void write_line(const std::string& line, std::unique_lock<std::mutex>& lock);
  void plot(const TensorBoardEvent& event, std::unique_lock<std::mutex>& lock);
  void say(const std::string& line);
  void tell(const std::string& json);
  void note(const std::string& kind, const std::string& text, std::unique_lock<std::mutex>& lock);
  void show(const EventRecord& event, bool said, std::unique_lock<std::mutex>& lock);
  void show(const std::string& plain, const std::string& json, bool said);
  void save(const char* file, const std::string& content);
  void redraw_until_stopped();
  bool plays(const std::string& role) const;
  std::vector<Vitals> vitals() const;
  std::map<std::string, HttpServer::Page> pages();
  std::string scrape();
  HttpReply index_page();

  const TelemetryOptions options;
  std::atomic<Clock::time_point> start = Clock::now();
  const std::filesystem::path folder;
  Metrics metrics{options.roles};
  LiveTerminal error_terminal{stderr};  // log lines and the live status
  LiveTerminal plain_terminal{stdout};  // one line per update
  std::unique_ptr<spdlog::logger> logger;

  mutable std::mutex actors_mutex;  // taken after `mutex` if both are
  std::map<std::string, std::unique_ptr<ActivityLog>> actors;
  std::map<std::string, Pulse> pulses;

  std::unique_ptr<Lineage> lineage;      // null: not kept
  std::unique_ptr<RolloutLog> rollouts;  // null: not kept

  std::mutex files_mutex;    // taken before all others
  mutable std::mutex mutex;  // all below
  RunLog run;
  Told leftover;  // in the run directory, before `lines` replaces the file
  Told told;      // of this run by the process before this one
  LineFile lines;
  std::optional<TensorBoardFile> event_file;  // TensorBoard's; none: not asked for
  LedgerRecord exported_ledger;
  struct Progress {
    Clock::time_point last;
    prometheus::Gauge* timestamp;
  };
  std::map<std::string, Progress> progress;
  Clock::time_point saved = Clock::now();
  std::map<std::string, std::optional<Clock::time_point>> held_since;  // by verifier
  std::map<std::string, bool> needs;
  std::vector<std::function<void(Metrics&)>> scrape_lookers;
  std::atomic<bool> paused = false;  // written under the lock
  std::optional<Clock::time_point> resumed;

  std::condition_variable stop_condition;
  bool stopping = false;
  std::thread redraw_thread;
  std::unique_ptr<HttpServer> server;  // last: its pages use all above
};

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
  if (options.rollouts_per_update > 0 && options.token_text)
    rollouts =
        std::make_unique<RolloutLog>(folder / "rollouts.jsonl",
                                     RolloutLog::Terms{.per_update = options.rollouts_per_update,
                                                       .most_bytes = kMostRolloutBytes,
                                                       .piece = options.token_text},
                                     [this](const std::string& problem) {
                                       std::unique_lock held(mutex);
                                       note("telemetry error", problem, held);
                                     });
  std::unique_lock lock(mutex);
  write_line(run_line(run), lock);
  tell(run_line(run));
  if (options.terminal_status && !options.quiet)
    redraw_thread = std::thread([this] { redraw_until_stopped(); });
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

RunLog Telemetry::State::snapshot() const {
  RunLog copy;
  {
    const std::lock_guard lock(mutex);
    copy = run;
  }
  if (lineage) copy.lineage = lineage->end();
  copy.wall_seconds = now();
  copy.peak_memory_bytes = peak_memory_bytes();
  copy.finished = iso_utc(std::chrono::system_clock::now());
  const std::lock_guard lock(actors_mutex);
  for (const auto& [name, log] : actors) copy.actors.push_back({name, log->spans(0)});
  return copy;
}

std::vector<std::pair<std::string, ActorTime>> Telemetry::State::actor_times() const {
  const std::lock_guard lock(actors_mutex);
  std::vector<std::pair<std::string, ActorTime>> times;
  for (const auto& [name, log] : actors) {
    const ActorTime time = log->totals_since_mark();
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

void Telemetry::State::save(const char* file, const std::string& content) {
  std::string problem;
  try {
    gpu::write_atomically(folder / file, content);
    return;
  } catch (const std::exception&
               error) {  // the last chance to save what a run was for must go on to the next file
    problem = error.what();
  }
  std::unique_lock lock(mutex);
  note("telemetry error", problem, lock);
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

bool Telemetry::State::plays(const std::string& role) const {
  return std::find(options.roles.begin(), options.roles.end(), role) != options.roles.end();
}

/// Of every actor that says what it is at, in this process.
std::vector<Vitals> Telemetry::State::vitals() const {
  const std::lock_guard lock(mutex);
  const std::lock_guard actors_lock(actors_mutex);
  std::map<std::string, Vitals> found;
  const auto at_work = [&](const std::string& actor, Clock::time_point since) {
    const auto moved = progress.find(actor);
    if (moved != progress.end()) since = std::max(since, moved->second.last);
    double& seconds = found[actor].seconds_at_work;
    seconds = std::max(seconds, std::chrono::duration<double>(Clock::now() - since).count());
  };
  for (const auto& [actor, log] : actors) {
    const auto span = log->current();
    if (!span) continue;
    found[actor].doing = span->phase;
    const auto begin = std::chrono::duration<double>(span->begin);
    if (span->busy)
      at_work(actor, start.load() + std::chrono::duration_cast<Clock::duration>(begin));
  }
  for (const auto& [actor, pulse] : pulses) {
    found[actor];
    if (const auto since = pulse.since()) at_work(actor, *since);
  }
  std::vector<Vitals> all;
  for (auto& [actor, one] : found) {
    one.actor = actor;
    all.push_back(one);
  }
  return all;
}

std::map<std::string, HttpServer::Page> Telemetry::State::pages() {
  return {{"/metrics",
           [this] {
             return HttpReply{200, "text/plain; version=0.0.4; charset=utf-8", scrape()};
           }},
          {"/healthz", [this] { return health_page(vitals(), options.progress_deadline_seconds); }},
          {"/readyz",
           [this] {
             const std::lock_guard lock(mutex);
             return readiness_page(needs);
           }},
          {"/", [this] { return index_page(); }}};
}

std::string Telemetry::State::scrape() {
  for (const auto& [actor, time] : actor_times())
    metrics.gauge("troupe_actor_idle_ratio", actor).Set(time.idle_ratio());
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  {
    const std::lock_guard lock(mutex);
    for (const auto& look : scrape_lookers) look(metrics);
    if (plays("director")) metrics.gauge("troupe_learner_checkpoint_age_seconds").Set(since(saved));
    for (const auto& [verifier, oldest] : held_since)
      metrics.gauge("troupe_verifier_oldest_pending_seconds", verifier)
          .Set(oldest ? since(*oldest) : 0);
  }
  std::error_code error;  // of a disk that cannot be asked the gauge keeps its figure
  const auto space = std::filesystem::space(folder, error);
  if (!error) metrics.gauge("troupe_run_disk_free_bytes").Set(static_cast<double>(space.available));
  return metrics.expose();
}

HttpReply Telemetry::State::index_page() {
  std::string status, id;
  {
    const std::lock_guard lock(mutex);
    id = run.id;
    status = run.stages.empty() ? "starting" : plain_line(view());
  }
  return {
      200, "text/html; charset=utf-8",
      "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
      "<meta name=viewport content='width=device-width,initial-scale=1'><title>" +
          escape_html(run.name) +
          "</title><style>:root{color-scheme:light dark}body{font:16px/1.6 "
          "system-ui,sans-serif;max-width:46em;"
          "margin:2em auto;padding:0 1em}</style><h1>" +
          escape_html(run.name) + "</h1><p>" + escape_html(status) + "<p>run " + escape_html(id) +
          "<p><a href=metrics>metrics</a> &middot; <a href=healthz>health</a> &middot; <a "
          "href=readyz>readiness</a><p>config " +
          escape_html(run.config_digest) + ", " + escape_html(run.build_description) + "</html>\n"};
}

Telemetry::Telemetry(TelemetryOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

Telemetry::~Telemetry() = default;

Metrics& Telemetry::metrics() {
  return state_->metrics;
}

ActivityLog& Telemetry::activity(const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  auto& log = state_->actors[actor];
  if (!log)
    log = std::make_unique<ActivityLog>(actor, state_->start,
                                        state_->options.trace ? kSpansWithTrace : kSpans);
  return *log;
}

double Telemetry::seconds_since_start() const {
  return state_->now();
}

void Telemetry::began_before(double seconds) {
  const auto earlier = std::chrono::duration<double>(seconds);
  state_->start = state_->start.load() - std::chrono::duration_cast<Clock::duration>(earlier);
  std::unique_lock lock(state_->mutex);
  RunLog& run = state_->run;
  const Told found = std::exchange(state_->leftover, {});
  if (found.age_seconds < seconds) state_->told = found;  // else of an earlier run
  run.started = iso_utc(std::chrono::system_clock::now() -
                        std::chrono::duration_cast<std::chrono::system_clock::duration>(
                            std::chrono::duration<double>(state_->now())));
  state_->lines = LineFile(state_->folder / "metrics.jsonl");  // from its first line on
  state_->write_line(run_line(run), lock);
  for (EventRecord& event : run.events) {
    event.seconds_since_start += seconds;
    state_->write_line(event_line(event), lock);
  }
  if (!state_->told.newest) return;
  const std::string resumed = fmt::format("resumed at update {}", state_->told.newest->second);
  lock.unlock();
  state_->say(resumed);
}

void Telemetry::joined_run(const std::string& id) {
  std::unique_lock lock(state_->mutex);
  if (std::exchange(state_->run.id, id) != id)
    state_->write_line(run_line(state_->run), lock);  // the newest of such lines counts
}

std::string Telemetry::run_id() const {
  const std::lock_guard lock(state_->mutex);
  return state_->run.id;
}

spdlog::logger& Telemetry::log() {
  return *state_->logger;
}

void Telemetry::stage_begins(std::int32_t index, const std::string& kind, const std::string& name,
                             std::int32_t updates) {
  {
    const std::lock_guard lock(state_->actors_mutex);
    for (const auto& [actor, log] : state_->actors) log->mark();
  }
  if (state_->lineage) state_->lineage->stage_begins(index);
  if (state_->plays("director")) export_stage(state_->metrics, index, updates);
  std::unique_lock lock(state_->mutex);
  state_->progress.clear();
  state_->run.stages.push_back(
      {.index = index, .updates = updates, .kind = kind, .name = name, .begin = state_->now()});
  const std::string line = stage_begins_line(state_->run.stages.back());
  state_->write_line(line, lock);
  const bool said = state_->told.take(line);
  lock.unlock();
  state_->show("", line, said);
  meets("stage", true);
  state_->logger->debug("stage {} begins: {} updates", name, updates);
}

void Telemetry::record(const RolloutUpdateRecord& update, Origin origin) {
  if (state_->plays("director")) export_run(state_->metrics, update);
  if (origin == Origin::here) export_learner(state_->metrics, update);
  if (state_->listener.rollouts) state_->listener.rollouts(update);
  std::unique_lock lock(state_->mutex);
  state_->run.add(update);
  const std::string json = update_line_json(update);
  TensorBoardEvent event = event_of(update, state_->run.stage().name);
  event.wall_time = state_->wall_time(update.seconds_since_start);
  state_->write_line(json, lock);
  state_->plot(event, lock);
  const bool said = state_->told.has(update.stage, update.update);
  const std::string line = state_->options.terminal_status ? "" : plain_line(state_->view());
  lock.unlock();
  state_->show(line, json, said);
}

void Telemetry::record(const SupervisedRecord& update, Origin) {
  if (state_->plays("director")) export_run(state_->metrics, update);
  if (state_->listener.supervised) state_->listener.supervised(update);
  std::unique_lock lock(state_->mutex);
  state_->run.add(update);
  const std::string json = update_line_json(update);
  TensorBoardEvent event = event_of(update, state_->run.stage().name);
  event.wall_time = state_->wall_time(update.seconds_since_start);
  state_->write_line(json, lock);
  state_->plot(event, lock);
  const bool said = state_->told.has(update.stage, update.update);
  const std::string line = state_->options.terminal_status ? "" : plain_line(state_->view());
  lock.unlock();
  state_->show(line, json, said);
}

void Telemetry::listen(Listener listener) {
  const std::lock_guard lock(state_->mutex);
  state_->listener = std::move(listener);
}

void Telemetry::record(const EvaluationRecord& evaluation) {
  export_record(state_->metrics, evaluation);
  std::unique_lock lock(state_->mutex);
  StageLog& stage = state_->run.stage();
  stage.evaluations.push_back(evaluation);
  const std::string line = plain_line(evaluation, stage.name);
  const std::string json = evaluation_line(evaluation, stage.index, state_->now());
  const TensorBoardEvent event = event_of(evaluation, stage.name);
  state_->write_line(json, lock);
  state_->plot(event, lock);
  const bool said = state_->told.take(json);
  lock.unlock();
  state_->show(line, json, said);
}

void Telemetry::record(const LedgerRecord& ledger, Origin origin) {
  if (state_->listener.ledger) state_->listener.ledger(ledger);
  std::unique_lock lock(state_->mutex);
  StageLog& stage = state_->run.stage();
  if (origin == Origin::here) export_record(state_->metrics, ledger, state_->exported_ledger);
  state_->exported_ledger = stage.ledger = ledger;
  const std::string json = ledger_line(ledger, stage.index, state_->now());
  const TensorBoardEvent event = event_of(ledger, stage.name, stage.updates_done());
  state_->write_line(json, lock);
  state_->plot(event, lock);
  lock.unlock();
  state_->tell(json);
}

void Telemetry::event(const std::string& kind, const std::string& text) {
  std::unique_lock lock(state_->mutex);
  state_->note(kind, text, lock);
}

void Telemetry::event_elsewhere(const EventRecord& event) {
  std::unique_lock lock(state_->mutex);
  state_->show(event, state_->told.take(event_line(event)), lock);
}

void Telemetry::stage_ends(const StageRecord& stage) {
  const auto times = state_->actor_times();
  std::unique_lock lock(state_->mutex);
  StageLog& log = state_->run.stage();
  log.end = state_->now();
  log.record = stage;
  if (log.record->actors.empty()) log.record->actors.insert(times.begin(), times.end());
  const std::string line = stage_ends_line(stage, *log.end);
  state_->write_line(line, lock);
  const bool said = state_->told.take(line);
  lock.unlock();
  state_->show(fmt::format("{} {}: {} updates in {}", stage.name, stage.ended, stage.updates,
                           duration_text(stage.wall_seconds)),
               line, said);
}

Lineage* Telemetry::lineage() {
  return state_->lineage.get();
}

Pulse& Telemetry::pulse(const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  return state_->pulses[actor];
}

RolloutLog* Telemetry::rollouts() {
  return state_->rollouts.get();
}

HttpServer* Telemetry::server() {
  return state_->server.get();
}

void Telemetry::look_at(const std::function<void(const RunLog&)>& look) const {
  const std::lock_guard lock(state_->mutex);
  look(state_->run);
}

std::vector<ActorView> Telemetry::actors() const {
  const std::lock_guard lock(state_->actors_mutex);
  std::vector<ActorView> views;
  for (const auto& [name, log] : state_->actors) {
    views.push_back({name, log->phase(), log->totals_since_mark(), log->version()});
  }
  return views;
}

std::filesystem::path Telemetry::run_directory() const {
  return state_->folder;
}

void Telemetry::meets(const std::string& need, bool met) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->needs.find(need);
  if (found != state_->needs.end()) found->second = met;
}

void Telemetry::before_scrape(std::function<void(Metrics&)> look) {
  const std::lock_guard lock(state_->mutex);
  state_->scrape_lookers.push_back(std::move(look));
}

double Telemetry::seconds_since_progress() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->paused) return 0;
  double least = state_->now() - (state_->run.stages.empty() ? 0 : state_->run.stages.back().begin);
  const auto time = Clock::now();
  for (const auto& [actor, entry] : state_->progress)
    least = std::min(least, std::chrono::duration<double>(time - entry.last).count());
  if (state_->resumed)
    least = std::min(least, std::chrono::duration<double>(time - *state_->resumed).count());
  return least;
}

double Telemetry::seconds_since_progress(const std::string& actor) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->progress.find(actor);
  if (found != state_->progress.end())
    return std::chrono::duration<double>(Clock::now() - found->second.last).count();
  return state_->now() - (state_->run.stages.empty() ? 0 : state_->run.stages.back().begin);
}

void Telemetry::model_saved() {
  const std::lock_guard lock(state_->mutex);
  state_->saved = Clock::now();
}

void Telemetry::holds_since(const std::string& verifier, std::optional<Clock::time_point> oldest) {
  const std::lock_guard lock(state_->mutex);
  state_->held_since[verifier] = oldest;
}

std::string Telemetry::scrape() {
  return state_->scrape();
}

std::string Telemetry::who_does_what() const {
  const std::lock_guard lock(state_->actors_mutex);
  std::string text;
  for (const auto& [name, log] : state_->actors) {
    const auto spans = log->spans(0);
    if (!spans.empty()) text += (text.empty() ? "" : "; ") + name + ": " + spans.back().phase;
  }
  return text;
}

RunOverview Telemetry::overview() const {
  const std::lock_guard lock(state_->mutex);
  RunOverview overview;
  overview.seconds = state_->now();
  for (const StageLog& stage : state_->run.stages)
    if (!stage.rollout_updates.empty()) overview.version = stage.rollout_updates.back().version + 1;
  if (state_->run.stages.empty()) return overview;
  const StageLog& stage = state_->run.stages.back();
  overview.stage = stage.name + (state_->paused ? " (paused)" : "");
  overview.update = stage.updates_done();
  overview.updates = stage.updates;
  return overview;
}

void Telemetry::pause(bool on) {
  std::unique_lock lock(state_->mutex);
  if (state_->paused.exchange(on) == on) return;
  state_->metrics.gauge("troupe_run_paused").Set(on ? 1 : 0);
  if (!on) state_->resumed = Clock::now();
  state_->note(on ? "paused" : "resumed", "asked for on the dashboard", lock);
}

bool Telemetry::paused() const {
  return state_->paused;
}

void Telemetry::progress(const std::string& actor) {
  const std::lock_guard lock(state_->mutex);
  auto found = state_->progress.find(actor);
  if (found == state_->progress.end()) {
    auto& gauge = state_->metrics.gauge("troupe_actor_last_progress_timestamp_seconds", actor);
    found = state_->progress.emplace(actor, State::Progress{{}, &gauge}).first;
  }
  found->second.last = Clock::now();
  found->second.timestamp->SetToCurrentTime();
}

void Telemetry::write_files(const std::string& ended) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->run.ended = ended;
  }
  const std::lock_guard one_writer(state_->files_mutex);
  const RunLog run = state_->snapshot();
  state_->save("summary.json", summary_json(run));
  state_->save("report.html", report_html(run));
  if (state_->options.trace) state_->save("trace.json", trace_json(run));
}

std::string Telemetry::closing_text() const {
  return troupe::closing_text(state_->snapshot(), report_path().string());
}

std::string Telemetry::closing_line() const {
  const RunLog run = state_->snapshot();
  const std::string folder = std::filesystem::absolute(state_->folder).string();
  return dump_json({{"type", "run_ends"},
                    {"seconds", run.wall_seconds},
                    {"ended", run.ended},
                    {"run_directory", folder}}) +
         "\n";
}

std::filesystem::path Telemetry::report_path() const {
  return state_->folder / "report.html";
}

const std::string& Telemetry::metrics_address() const {
  return state_->options.metrics_address;
}

int Telemetry::metrics_port() const {
  return state_->server ? state_->server->port() : 0;
}

}  // namespace troupe
