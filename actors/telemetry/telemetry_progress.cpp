#include "actors/telemetry/telemetry_state.hpp"

#include <algorithm>

namespace troupe {

double Telemetry::seconds_since_progress() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->paused) return 0;
  double least = state_->now() - (state_->run.stages.empty() ? 0 : state_->run.stages.back().begin);
  const auto time = Clock::now();
  for (const auto& [actor, last] : state_->progress)
    least = std::min(least, std::chrono::duration<double>(time - last).count());
  if (state_->resumed)
    least = std::min(least, std::chrono::duration<double>(time - *state_->resumed).count());
  return least;
}

double Telemetry::seconds_since_progress(const std::string& actor) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->progress.find(actor);
  if (found != state_->progress.end())
    return std::chrono::duration<double>(Clock::now() - found->second).count();
  return state_->now() - (state_->run.stages.empty() ? 0 : state_->run.stages.back().begin);
}

std::string Telemetry::who_does_what() const {
  const std::lock_guard lock(state_->actors_mutex);
  std::string text;
  for (const auto& [name, one] : state_->actors) {
    const auto spans = one.log->spans(0);
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
  const std::lock_guard actors_lock(state_->actors_mutex);
  if (state_->left.contains(actor)) return;
  state_->progress[actor] = Clock::now();
  state_->metrics.gauge("troupe_actor_last_progress_timestamp_seconds", actor).SetToCurrentTime();
}

}  // namespace troupe
