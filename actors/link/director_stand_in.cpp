#include "actors/link/director_stand_in.hpp"

#include "actors/errors.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <chrono>
#include <utility>

namespace troupe {
namespace {

constexpr std::size_t kNewsAtOnce = 16;  // so that a page fits the smallest frame

}  // namespace

void DirectorStandInState::begin(Self self, DirectorStandInPlan plan) {
  self_ = self;
  plan_ = std::move(plan);
  shown_.emplace(ShownQueue::Terms{plan_.shown_bytes_kept, shown_bytes(plan_.frame_bytes)});
  heard_ = self_->clock().now();
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

/// Whatever a director has asked for before it was there is told to it.
void DirectorStandInState::lead(const Conductor& conductor) {
  conductor_ = conductor;
  self_->monitor(conductor_);
  for (const std::uint32_t stage : begun_) self_->send(conductor_, begin_atom::value, stage);
  if (!closing_.empty()) self_->send(conductor_, close_atom::value, closing_);
}

bool DirectorStandInState::begin_stage(std::uint32_t stage) {
  if (stage >= plan_.stages.size()) return false;
  if (!begun_.insert(stage).second) return true;
  const auto& [kind, title, updates] = plan_.stages[stage];
  plan_.telemetry->stage_begins(static_cast<std::int32_t>(stage), kind, title, updates);
  add(StageBegun{stage});
  if (conductor_) self_->send(conductor_, begin_atom::value, stage);
  return true;
}

bool DirectorStandInState::stop() {
  if (conductor_) self_->send(conductor_, stop_atom::value);
  return true;
}

bool DirectorStandInState::close(const std::string& reason) {
  if (closing_.empty()) closing_ = reason;
  if (conductor_) self_->send(conductor_, close_atom::value, reason);
  return true;
}

bool DirectorStandInState::note(const EvaluationNote& note) {
  const bool known = std::any_of(notes_.begin(), notes_.end(),
                                 [&](const EvaluationNote& other) { return note.same_as(other); });
  if (known) return true;
  notes_.push_back({note.stage, note.place, note.record, {}});
  add(note);
  return true;
}

void DirectorStandInState::add(NewsBody body) {
  if (over_) return;  // the director leaves with the word of that, and reads no further
  log_.add(std::move(body), plan_.telemetry->seconds_since_start());
  serve();
}

NewsPage DirectorStandInState::page(std::uint64_t from) const {
  return {log_.from(from, kNewsAtOnce), log_.end(), shown_->end()};
}

/// Old ones make room: whether a director still wanted them it knows by their numbers.
void DirectorStandInState::show(const ShownRollout& rollout) {
  if (over_) return;
  not_shown(plan_.telemetry->metrics(), "too_large", shown_->add(rollout).too_large);
}

ShownPage DirectorStandInState::shown(std::uint64_t from) const {
  return shown_->from(from, shown_bytes(plan_.frame_bytes));
}

void DirectorStandInState::serve() {
  while (!readers_.empty() && readers_.front().wish < log_.end()) {
    readers_.front().promise.deliver(page(readers_.front().wish));
    readers_.pop_front();
  }
  while (!receivers_.empty() && newest_ && newest_.version() >= receivers_.front().wish) {
    receivers_.front().promise.deliver(newest_);
    receivers_.pop_front();
  }
}

void DirectorStandInState::present() {
  heard_ = self_->clock().now();
}

caf::result<NewsPage> DirectorStandInState::news(std::uint64_t from, bool wait) {
  present();
  log_.told(from);
  heard_end_ = over_.has_value() && from >= log_.end();
  if (heard_end_ && leaver_) check_presence();
  if (!wait || from < log_.end()) return page(from);
  auto promise = self_->make_response_promise<NewsPage>();
  readers_.add(promise, from, heard_);
  return promise;
}

caf::result<Weights> DirectorStandInState::take(std::uint64_t at_least) {
  if (newest_ && newest_.version() >= at_least) return newest_;
  auto promise = self_->make_response_promise<Weights>();
  receivers_.add(promise, at_least, self_->clock().now());
  return promise;
}

caf::result<std::string> DirectorStandInState::farewell() {
  auto promise = self_->make_response_promise<std::string>();
  leaver_ = promise;
  check_presence();
  return promise;
}

void DirectorStandInState::hold(const Weights& weights) {
  if (weights && (!newest_ || weights.version() > newest_.version())) newest_ = weights;
}

void DirectorStandInState::updated(std::int32_t update, const Weights& weights) {
  hold(weights);
  add(Published{update, weights.version()});
}

void DirectorStandInState::ended(const StageEndPtr& end) {
  hold(end->weights);
  StageRecord record = end->record;
  record.ended = end->failure.empty() ? "done" : end->failure;
  plan_.telemetry->stage_ends(record);
  StageEnded told{*end, static_cast<bool>(end->weights),
                  end->weights ? end->weights.version() : PolicyVersion{0}};
  told.end.weights = {};
  add(std::move(told));
}

void DirectorStandInState::over(const caf::error& reason) {
  const bool by_itself = reason && reason != caf::exit_reason::normal;
  failed_ = failed_ || by_itself || closing_.empty();
  if (by_itself) closing_ = "the conductor died: " + describe(reason);
  if (closing_.empty()) closing_ = "the conductor has ended";
  conductor_ = nullptr;  // a thread of its own, which ends once nobody refers to it
  add(ConductorOver{closing_});
  over_ = self_->clock().now();
}

void DirectorStandInState::check_presence() {
  const auto now = self_->clock().now();
  if (over_ && leaver_ && (heard_end_ || now - *over_ > plan_.deadlines.request))
    std::exchange(leaver_, std::nullopt)->deliver(failed_ ? closing_ : std::string());
  const double away = std::chrono::duration<double>(now - heard_).count();
  if (over_ || !closing_.empty() || !readers_.empty() || away < plan_.away_deadline_seconds) return;
  failed_ = true;
  close("no director has been there for " + std::to_string(static_cast<int>(away)) +
        " s (network.away-deadline-seconds)");
}

void DirectorStandInState::check() {
  const auto now = self_->clock().now();
  readers_.answer_impatient(now, plan_.deadlines.patience());
  receivers_.answer_impatient(now, plan_.deadlines.patience());
  check_presence();
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

caf::behavior director_stand_in(DirectorStandInState::Self self, DirectorStandInPlan plan) {
  auto& state = self->state;
  state.begin(self, std::move(plan));
  self->set_down_handler([&state](const caf::down_msg& down) { state.over(down.reason); });
  return {
      errand_handler(self),
      [&state](join_atom, const Conductor& conductor) { state.lead(conductor); },
      [&state](begin_atom, std::uint32_t stage) { return state.begin_stage(stage); },
      [&state](stop_atom) { return state.stop(); },
      [&state](close_atom, const std::string& reason) { return state.close(reason); },
      [&state](note_atom, const EvaluationNote& note) { return state.note(note); },
      [&state](news_atom, std::uint64_t from, bool wait) { return state.news(from, wait); },
      [&state](news_atom, const NewsBody& body) { state.add(body); },
      [&state](show_atom, const ShownRollout& rollout) { state.show(rollout); },
      [&state](show_atom, std::uint64_t from) { return state.shown(from); },
      [&state](take_atom, const std::string&, std::uint64_t at_least) {
        return state.take(at_least);
      },
      [&state](updated_atom, std::int32_t update, const Weights& weights) {
        state.updated(update, weights);
      },
      [&state](ended_atom, const StageEndPtr& end) { state.ended(end); },
      [&state](join_atom) { state.present(); },
      [&state](farewell_atom) { return state.farewell(); },
      [&state](check_atom) { state.check(); },
  };
}

}  // namespace troupe
