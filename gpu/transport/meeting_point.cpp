#include "gpu/transport/meeting_point.hpp"

#include "gpu/transport/communicator.hpp"

#include <string_view>

namespace troupe::gpu {

MeetingPoint::MeetingPoint(int size, std::chrono::milliseconds deadline)
    : deadline_(deadline),
      calls_(static_cast<std::size_t>(size)),
      here_(static_cast<std::size_t>(size)) {}

void MeetingPoint::meet(int rank, const Call& call) {
  Lock lock(mutex_);
  if (!problem_.empty()) fail(rank, call.name);
  calls_[static_cast<std::size_t>(rank)] = call;
  here_[static_cast<std::size_t>(rank)] = true;
  if (last_to_arrive()) {
    here_.assign(here_.size(), false);
    compare();
  } else {
    wait_in_time(lock, rank);
  }
  if (different_) fail(rank, call.name);
}

void MeetingPoint::part() {
  Lock lock(mutex_);
  const std::size_t round = round_;
  if (!last_to_arrive()) came_.wait(lock, [&] { return round_ != round; });
}

void MeetingPoint::abort(const std::string& why) {
  const Lock lock(mutex_);
  if (problem_.empty()) problem_ = why;
  came_.notify_all();
}

bool MeetingPoint::last_to_arrive() {
  if (++arrived_ < calls_.size()) return false;
  arrived_ = 0;
  ++round_;
  came_.notify_all();
  return true;
}

void MeetingPoint::wait_in_time(Lock& lock, int rank) {
  const std::size_t round = round_;
  const bool in_time =
      came_.wait_for(lock, deadline_, [&] { return round_ != round || !problem_.empty(); });
  if (round_ != round) return;
  if (!in_time) {
    problem_ = absent() + " did not come within " + std::to_string(deadline_.count()) + " ms";
    came_.notify_all();
  }
  fail(rank, calls_[static_cast<std::size_t>(rank)].name);
}

void MeetingPoint::compare() {
  const Call& first = calls_[0];
  for (std::size_t rank = 1; rank < calls_.size(); ++rank) {
    const Call& other = calls_[rank];
    if (std::string_view(other.name) == first.name && other.bytes == first.bytes &&
        other.block == first.block && other.root == first.root)
      continue;
    different_ = true;
    problem_ = "rank 0 called " + std::string(first.name) + " with " + std::to_string(first.bytes) +
               " bytes, rank " + std::to_string(rank) + " " + other.name + " with " +
               std::to_string(other.bytes);
    return;
  }
}

std::string MeetingPoint::absent() const {
  std::string ranks;
  for (std::size_t i = 0; i < here_.size(); ++i)
    if (!here_[i]) ranks += (ranks.empty() ? "rank " : ", rank ") + std::to_string(i);
  return ranks;
}

void MeetingPoint::fail(int rank, const char* name) const {
  throw LostRank("rank " + std::to_string(rank) + " of " + std::to_string(calls_.size()) + ": " +
                 name + ": " + problem_);
}

}  // namespace troupe::gpu
