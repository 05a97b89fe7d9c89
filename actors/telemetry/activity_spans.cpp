#include "actors/telemetry/activity_spans.hpp"

#include <algorithm>

namespace troupe {

namespace {

void add(ActorTime& time, bool busy, double seconds) {
  (busy ? time.busy_seconds : time.idle_seconds) += seconds;
}

}  // namespace

void ActivitySpans::enter(std::string_view phase, bool busy, double now) {
  if (!open.phase) {
    first = now;
  } else if (open.busy == busy && open.phase == phase) {
    return;
  } else {
    open.end = now;
    add(closed_total, open.busy, open.end - open.begin);
    closed.push_back(open);
    if (closed.size() > max_spans) closed.pop_front();
  }
  const auto known = phases.find(phase);
  const auto& name = known != phases.end() ? *known : *phases.emplace(phase).first;
  open = {name.c_str(), busy, now, now};
}

std::vector<ActivitySpans::Span> ActivitySpans::since(double time, double now) const {
  std::vector<Span> out;
  for (const Span& span : closed)
    if (span.end > time) out.push_back(span);
  if (!open.phase) return out;
  out.push_back(open);
  out.back().end = now;
  return out;
}

ActorTime ActivitySpans::totals(double since, double now) const {
  if (since <= first) return total(now);
  if (since == mark) return totals_since_mark(now);
  ActorTime sum;
  for (const Span& span : closed)
    add(sum, span.busy, std::max(0.0, span.end - std::max(span.begin, since)));
  if (open.phase) add(sum, open.busy, std::max(0.0, now - std::max(open.begin, since)));
  return sum;
}

void ActivitySpans::set_mark(double now) {
  mark = now;
  at_mark = total(now);
}

ActorTime ActivitySpans::totals_since_mark(double now) const {
  const ActorTime sum = total(now);
  return {sum.busy_seconds - at_mark.busy_seconds, sum.idle_seconds - at_mark.idle_seconds};
}

ActorTime ActivitySpans::total(double now) const {
  ActorTime sum = closed_total;
  if (open.phase) add(sum, open.busy, now - open.begin);
  return sum;
}

}  // namespace troupe
