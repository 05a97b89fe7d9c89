#include "actors/link/shown_queue.hpp"

#include <algorithm>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {

ShownQueue::LeftOut ShownQueue::add(ShownRollout rollout) {
  LeftOut left_out;
  if (rollout.bytes() > std::min(terms_.most_each, terms_.most_bytes)) {
    left_out.too_large = 1;
    return left_out;
  }
  bytes_ += rollout.bytes();
  rollouts_.push_back({end_++, std::move(rollout)});
  while (bytes_ > terms_.most_bytes) left_out.backlog += forget_below(front().number + 1);
  return left_out;
}

std::uint64_t ShownQueue::forget_below(std::uint64_t number) {
  std::uint64_t there = 0;
  for (; !empty() && front().number < number; ++there) {
    bytes_ -= front().rollout.bytes();
    rollouts_.pop_front();
  }
  return there;
}

ShownPage ShownQueue::from(std::uint64_t number, std::size_t most_bytes) const {
  auto at = std::lower_bound(
      rollouts_.begin(), rollouts_.end(), number,
      [](const NumberedRollout& one, std::uint64_t to) { return one.number < to; });
  ShownPage page;
  std::size_t bytes = 0;
  for (; at != rollouts_.end(); ++at) {
    bytes += at->rollout.bytes();
    if (bytes > most_bytes && !page.empty()) break;
    page.push_back(*at);
  }
  return page;
}

void not_shown(Metrics& metrics, const char* reason, std::uint64_t rollouts) {
  if (rollouts == 0) return;
  metrics.counter("troupe_run_rollouts_not_shown_total", reason)
      .Increment(static_cast<double>(rollouts));
}

}  // namespace troupe
