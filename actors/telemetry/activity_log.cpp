#include "actors/telemetry/activity_spans.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <mutex>
#include <optional>

namespace troupe {

struct ActivityLog::State {
  std::string actor;
  Clock::time_point start;
  mutable std::mutex mutex;
  ActivitySpans spans;
  std::optional<ActorTime> reported;  // of an actor in another process, since the mark
  std::string reported_phase;         // likewise what it is at
  std::optional<std::uint64_t> reported_version;

  /// Read under the lock: times must not go back.
  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
};

ActivityLog::ActivityLog(std::string actor, Clock::time_point start, std::size_t max_spans)
    : state_(new State{std::move(actor), start, {}, ActivitySpans(max_spans), {}, {}, {}}) {}

ActivityLog::~ActivityLog() = default;

const std::string& ActivityLog::actor() const {
  return state_->actor;
}

void ActivityLog::enter(std::string_view phase, bool busy) {
  const std::lock_guard lock(state_->mutex);
  state_->spans.enter(phase, busy, state_->now());
}

std::vector<ActivityLog::Span> ActivityLog::spans(double since) const {
  const std::lock_guard lock(state_->mutex);
  return state_->spans.since(since, state_->now());
}

std::optional<ActivityLog::Span> ActivityLog::current() const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->spans.open.phase) return std::nullopt;
  Span span = state_->spans.open;
  span.end = state_->now();
  return span;
}

ActorTime ActivityLog::totals(double since) const {
  const std::lock_guard lock(state_->mutex);
  return state_->spans.totals(since, state_->now());
}

void ActivityLog::mark() {
  const std::lock_guard lock(state_->mutex);
  state_->spans.set_mark(state_->now());
  state_->reported.reset();
}

ActorTime ActivityLog::totals_since_mark() const {
  const std::lock_guard lock(state_->mutex);
  return state_->reported ? *state_->reported : state_->spans.totals_since_mark(state_->now());
}

void ActivityLog::report(const ActorTime& since_mark) {
  const std::lock_guard lock(state_->mutex);
  state_->reported = since_mark;
}

void ActivityLog::report(const std::string& phase, std::optional<std::uint64_t> version) {
  const std::lock_guard lock(state_->mutex);
  state_->reported_phase = phase;
  state_->reported_version = version;
}

std::optional<std::uint64_t> ActivityLog::version() const {
  const std::lock_guard lock(state_->mutex);
  return state_->reported_version;
}

std::string ActivityLog::phase() const {
  const std::lock_guard lock(state_->mutex);
  return state_->spans.open.phase ? state_->spans.open.phase : state_->reported_phase;
}

}  // namespace troupe
