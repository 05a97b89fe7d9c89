// Actors here and in other processes: their logs, and the series that end when a peer leaves.
#include "actors/telemetry/telemetry_state.hpp"

#include <algorithm>
#include <array>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace troupe {

namespace {

constexpr std::size_t kSpans = 50'000, kSpansWithTrace = 500'000;  // per actor; 32 bytes each

/// Metrics by actor that are set for peers too. All others are set by an actor of this process, of itself.
constexpr std::array kOfPeers = {"troupe_broadcaster_subscriber_lag_versions",
                                 "troupe_actor_idle_ratio", "troupe_actor_restarts_total",
                                 "troupe_actor_last_progress_timestamp_seconds"};

}  // namespace

Telemetry::State::Known& Telemetry::State::known(const std::string& actor) {
  Known& one = actors[actor];
  if (!one.log)
    one.log = std::make_unique<ActivityLog>(actor, start, options.trace ? kSpansWithTrace : kSpans);
  return one;
}

ActivityLog& Telemetry::activity(const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  State::Known& one = state_->known(actor);
  state_->left.forget(actor);
  one.here = true;
  return *one.log;
}

Pulse& Telemetry::pulse(const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  return state_->pulses[actor];
}

void Telemetry::mark(const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  const auto found = state_->actors.find(actor);
  if (found != state_->actors.end()) found->second.log->mark();
}

ActorTime Telemetry::spent(const std::string& actor) const {
  const std::lock_guard lock(state_->actors_mutex);
  const auto found = state_->actors.find(actor);
  return found == state_->actors.end() ? ActorTime{} : found->second.log->totals_since_mark();
}

std::vector<ActorView> Telemetry::actors() const {
  const std::lock_guard lock(state_->actors_mutex);
  std::vector<ActorView> views;
  for (const auto& [name, one] : state_->actors)
    views.push_back(
        {name, one.log->phase(), one.log->totals_since_mark(), one.log->version(), one.away});
  return views;
}

void Telemetry::peer(const std::string& name, std::optional<bool> away) {
  const std::lock_guard lock(state_->actors_mutex);
  state_->left.forget(name);
  state_->known(name).away = away;
}

void Telemetry::peer_left(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  const std::lock_guard actors_lock(state_->actors_mutex);
  const auto found = state_->actors.find(name);
  if (found != state_->actors.end() && found->second.here) return found->second.away.reset();
  if (found != state_->actors.end()) state_->actors.erase(found);
  state_->progress.erase(name);
  state_->left.add(name);
  if (state_->left.too_many()) state_->left.forget(std::string(state_->left.oldest()));
  for (const char* metric : kOfPeers) state_->metrics.end_series(metric, name);
}

void Telemetry::peer_says(const ActorView& peer) {
  const std::lock_guard lock(state_->actors_mutex);
  if (state_->left.contains(peer.name)) return;
  const State::Known& one = state_->known(peer.name);
  if (one.here) return;
  one.log->report(peer.time);
  one.log->report(peer.phase, peer.version);
}

void Telemetry::peer_spent(const std::string& name, const ActorTime& since_mark) {
  const std::lock_guard lock(state_->actors_mutex);
  if (state_->left.contains(name)) return;
  const State::Known& one = state_->known(name);
  if (!one.here) one.log->report(since_mark);
}

void Telemetry::set(const std::string& metric, const std::string& actor, double value) {
  const std::lock_guard lock(state_->actors_mutex);
  if (!state_->left.contains(actor)) state_->metrics.gauge(metric, actor).Set(value);
}

void Telemetry::increment(const std::string& metric, const std::string& actor) {
  const std::lock_guard lock(state_->actors_mutex);
  if (!state_->left.contains(actor)) state_->metrics.counter(metric, actor).Increment();
}

void Telemetry::lends(std::int64_t change) {
  state_->lent += change;
}

void Telemetry::lent_elsewhere(std::uint64_t rollouts) {
  const std::lock_guard lock(state_->mutex);
  state_->lent_elsewhere = rollouts;
}

std::optional<std::uint64_t> Telemetry::at_verifiers() const {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->lent_elsewhere) return state_->lent_elsewhere;
  }
  if (!state_->plays("replay-buffer")) return std::nullopt;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, state_->lent));
}

}  // namespace troupe
