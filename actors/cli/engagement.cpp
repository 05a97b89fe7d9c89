#include "actors/cli/engagement.hpp"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace troupe {
namespace {

class SiteEngagement final : public Engagement {
 public:
  SiteEngagement(const Surroundings& around, const std::string& role, const std::string& name)
      : around_(around), name_(name), site_(site_plan(around, role, name)) {}
  SiteEnd wait() override { return site_.wait(); }
  void leave() override {
    if (leaving_.exchange(true)) return;
    around_.telemetry.event("leaving",
                            name_ + " hands over what it has; once more to stop at once");
    site_.leave(around_.config.network.drain_seconds);
  }

 private:
  const Surroundings& around_;
  std::string name_;
  std::atomic<bool> leaving_ = false;
  Site site_;
};

/// A learner or a broadcaster.
template <class Process>
class PlainEngagement final : public Engagement {
 public:
  template <class Plan>
  explicit PlainEngagement(Plan plan) : process_(std::move(plan)) {}
  SiteEnd wait() override { return process_.wait(); }
  void leave() override { process_.leave(); }

 private:
  Process process_;
};

}  // namespace

std::unique_ptr<Engagement> engage(const Surroundings& around, const std::string& role,
                                   const std::string& name) {
  if (role == "broadcaster")
    return std::make_unique<PlainEngagement<Relay>>(relay_plan(around, name));
  if (role == "learner") return std::make_unique<PlainEngagement<Study>>(study_plan(around, name));
  return std::make_unique<SiteEngagement>(around, role, name);
}

bool is_failure(const SiteEnd& end) {
  return end.kind != SiteEnd::Kind::dismissed && end.kind != SiteEnd::Kind::left;
}

SiteEnd wait_for(const Engagements& engagements) {
  std::mutex mutex;  // guards the two below
  std::optional<SiteEnd> result;
  bool leaving = false;
  const auto ended = [&](SiteEnd end) {
    const std::lock_guard lock(mutex);
    const bool by_itself = is_failure(end);
    if (!result || !is_failure(*result)) result = std::move(end);
    return by_itself && !std::exchange(leaving, true);
  };
  std::vector<std::thread> waiting;
  for (const auto& one : engagements)
    waiting.emplace_back([&, own = one.get()] {
      if (!ended(own->wait())) return;
      for (const auto& other : engagements)
        if (other.get() != own) other->leave();
    });
  for (std::thread& thread : waiting) thread.join();
  return *result;
}

}  // namespace troupe
