#pragma once
// The rules behind ActivityLog, without a clock and without locks.
#include "actors/telemetry/telemetry.hpp"

#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Spans of one actor. Times are seconds since the run's start and never go back.
struct ActivitySpans {
  using Span = ActivityLog::Span;

  explicit ActivitySpans(std::size_t spans_kept) : max_spans(spans_kept) {}
  void enter(std::string_view phase, bool busy, double now);
  std::vector<Span> since(double time, double now) const;
  ActorTime totals(double since, double now) const;
  void set_mark(double now);
  ActorTime totals_since_mark(double now) const;

  std::size_t max_spans;
  std::set<std::string, std::less<>> phases{};  // nodes never move: spans point into them
  std::deque<Span> closed{};                    // the newest max_spans
  Span open{nullptr, false, 0, 0};              // phase null: nothing entered yet
  ActorTime closed_total{};                     // of evicted spans too
  double first = 0;                             // begin of the very first span
  double mark = 0;
  ActorTime at_mark{};

 private:
  ActorTime total(double now) const;
};

}  // namespace troupe
