#include "actors/telemetry/telemetry.hpp"

#include "actors/telemetry/metrics_export.hpp"
#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/telemetry_state.hpp"
#include "actors/telemetry/text.hpp"

#include <fmt/format.h>

namespace troupe {

Telemetry::Telemetry(TelemetryOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}

Telemetry::~Telemetry() = default;

Metrics& Telemetry::metrics() {
  return state_->metrics;
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
    for (const auto& [actor, one] : state_->actors) one.log->mark();
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
  if (state_->plays("director")) export_run(state_->metrics, update, state_->options.environment);
  if (origin == Origin::here) export_learner(state_->metrics, update);
  if (state_->listener.rollouts) state_->listener.rollouts(update);
  std::unique_lock lock(state_->mutex);
  state_->run.add(update);
  state_->compare_rewards();
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
  export_record(state_->metrics, evaluation, state_->options.environment);
  std::unique_lock lock(state_->mutex);
  StageLog& stage = state_->run.stage();
  stage.evaluations.push_back(evaluation);
  state_->compare_rewards();
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

RolloutLog* Telemetry::rollouts() {
  return state_->rollouts.get();
}

void Telemetry::look_at(const std::function<void(const RunLog&)>& look) const {
  const std::lock_guard lock(state_->mutex);
  look(state_->run);
}

}  // namespace troupe
