#include "actors/cli/engagement.hpp"

#include "actors/link/circle_peers.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
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
  RankEngagement(const Surroundings& around, const std::string& name)
      : shared_(std::make_shared<Shared>()) {
    RankCirclePlan circle = rank_circle_plan(around, name);
    around.telemetry.activity(name).enter("wait for ranks", false);
    std::thread([shared = shared_, circle = std::move(circle), setup = rank_setup(around), name] {
      shared->end(serve(*shared, circle, setup, name));
    }).detach();  // one that waits for the others must not keep the process
  }
  ~RankEngagement() override { leave(); }
  SiteEnd wait() override {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [this] { return shared_->how.has_value(); });
    return *shared_->how;
  }
  void leave() override {
    std::shared_ptr<RankService> service;
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->leaving = true;
      service = shared_->service;
    }
    if (service)
      service->leave();
    else
      shared_->end({SiteEnd::Kind::left, "left before the ranks had met"});
  }

 private:
  struct Shared {
    std::mutex mutex;  // guards what follows
    std::condition_variable changed;
    std::shared_ptr<RankService> service;  // null: the ranks have not met
    bool leaving = false;
    std::optional<SiteEnd> how;

    void end(SiteEnd with) {
      const std::lock_guard lock(mutex);
      if (!how) how = std::move(with);
      changed.notify_all();
    }
  };

  static SiteEnd serve(Shared& shared, const RankCirclePlan& circle, const LearnerSetup& setup,
                       const std::string& name) {
    try {
      const auto service = std::make_shared<RankService>(circle, setup, name);
      {
        const std::lock_guard lock(shared.mutex);
        shared.service = service;
        if (shared.leaving) return {SiteEnd::Kind::left, "left"};
      }
      setup.telemetry->meets("link", true);
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

  const std::shared_ptr<Shared> shared_;
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
