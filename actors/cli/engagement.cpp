#include "actors/cli/engagement.hpp"

#include "actors/cli/rank_plans.hpp"
#include "actors/link/circle_peers.hpp"

#include <atomic>
#include <exception>
#include <future>
#include <kj/exception.h>
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

/// A rank of the learner other than 0.
class RankEngagement final : public Engagement {
 public:
  RankEngagement(const Surroundings& around, const std::string& name) {
    RankCirclePlan circle = rank_circle_plan(around, name);
    circle.given_up = leaving_;
    around.telemetry.activity(name).enter(kWaitForRanks, false);
    how_ = std::async(std::launch::async, [this, circle = std::move(circle),
                                           setup = rank_setup(around), name] {
             SiteEnd end = serve(circle, setup, name);
             return *leaving_ ? SiteEnd{SiteEnd::Kind::left, "left"} : end;
           }).share();
  }
  ~RankEngagement() override { leave(); }  // and waits
  SiteEnd wait() override { return how_.get(); }
  void leave() override {
    const std::lock_guard lock(mutex_);
    *leaving_ = true;
    if (service_) service_->leave();
  }

 private:
  SiteEnd serve(const RankCirclePlan& circle, const LearnerSetup& setup, const std::string& name) {
    try {
      const auto service = std::make_shared<RankService>(circle, setup, name);
      {
        const std::lock_guard lock(mutex_);
        service_ = service;
        if (*leaving_) service->leave();
      }
      setup.telemetry->meets("link", true);
      setup.telemetry->meets("link of learner", true);
      setup.telemetry->event(
          "joined", "the learner's " + std::to_string(circle.addresses.size()) + " ranks have met");
      const std::string why = service->run();
      if (why.empty()) return {SiteEnd::Kind::dismissed, "the run is over"};
      return {SiteEnd::Kind::actor_died, "rank " + std::to_string(circle.rank) + " ended: " + why};
    } catch (const std::exception& error) {
      return {SiteEnd::Kind::refused, error.what()};
    } catch (const kj::Exception& error) {
      return {SiteEnd::Kind::refused, error.getDescription().cStr()};
    }
  }

  std::mutex mutex_;
  std::shared_ptr<RankService> service_;  // null: the ranks have not met
  const std::shared_ptr<std::atomic<bool>> leaving_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_future<SiteEnd> how_;  // last: its thread uses all above
};

}  // namespace

std::unique_ptr<Engagement> engage(const Surroundings& around, const std::string& role,
                                   const std::string& name) {
  if (role == "broadcaster")
    return std::make_unique<PlainEngagement<Relay>>(relay_plan(around, name));
  if (role == "learner" && around.config.network.ranks_apart() && rank_of_name(name) > 0)
    return std::make_unique<RankEngagement>(around, name);
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
