#include "gpu/training/rank_team.hpp"

#include "gpu/error.hpp"
#include "gpu/transport/thread_communicator.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace troupe::gpu {
namespace {

std::unique_ptr<TrainingEngine> engine_of_thread(const RankTeamSetup& setup) {
  auto engine = setup.engine();
  if (!engine->buffers_on_host())
    throw Error(
        "ranks that are threads would share one GPU: set learner.ranks = 1, give each a process "
        "(network.learner-ranks), or set run.device = \"cpu\"");
  return engine;
}

}  // namespace

/// A rank's thread and what it shares with the caller's.
struct RankTeam::Peer {
  int rank = 0;
  std::shared_ptr<Communicator> communicator;
  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::shared_ptr<const Work> work;
  bool busy = true;  // until its engine is made
  bool ending = false;
  std::string loss;
  std::thread thread;  // the caller's only

  static void live(const std::shared_ptr<Peer>& self, const RankTeamSetup& setup);
  std::shared_ptr<const Work> next();
  void begin(std::shared_ptr<const Work> what);
  void done(const std::string& why);
  bool idle_within(std::chrono::milliseconds time);
};

/// The one place that catches: a thread's exception must not end the process.
void RankTeam::Peer::live(const std::shared_ptr<Peer>& self, const RankTeamSetup& setup) {
  try {
    setup.prepare_thread();
    const auto engine =
        make_data_parallel_engine(setup.engine(), self->communicator, setup.optimizer);
    self->done("");
    while (const auto work = self->next()) {
      (*work)(self->rank, *engine);
      self->done("");
    }
  } catch (const std::exception& error) {
    const std::string why =
        "learner rank " + std::to_string(self->rank) + " failed: " + error.what();
    self->done(why);
    self->communicator->abort(why);
  }
}

std::shared_ptr<const RankTeam::Work> RankTeam::Peer::next() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return work != nullptr || ending; });
  return std::exchange(work, nullptr);
}

void RankTeam::Peer::done(const std::string& why) {
  const std::lock_guard lock(mutex);
  busy = false;
  loss = why;
  changed.notify_all();
}

/// Not for one that was lost.
void RankTeam::Peer::begin(std::shared_ptr<const Work> what) {
  const std::lock_guard lock(mutex);
  if (!loss.empty()) return;
  work = std::move(what);
  busy = true;
  changed.notify_all();
}

bool RankTeam::Peer::idle_within(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, time, [this] { return !busy; });
}

RankTeam::RankTeam(const RankTeamSetup& setup) : deadline_(setup.deadline) {
  setup.prepare_thread();
  if (setup.meet) {
    communicator_ = setup.meet();
    own_ = make_data_parallel_engine(setup.engine(), communicator_, setup.optimizer);
    return;
  }
  if (setup.ranks == 1) {
    own_ = setup.engine();
    return;
  }
  std::vector<std::shared_ptr<Communicator>> ends;
  for (auto& end : make_thread_communicators(setup.ranks, setup.deadline))
    ends.push_back(std::move(end));
  communicator_ = ends[0];
  own_ = make_data_parallel_engine(engine_of_thread(setup), communicator_, setup.optimizer);
  for (int rank = 1; rank < setup.ranks; ++rank) {
    const auto peer = std::make_shared<Peer>();
    peer->rank = rank;
    peer->communicator = ends[static_cast<std::size_t>(rank)];
    peer->thread = std::thread([peer, setup] { Peer::live(peer, setup); });
    peers_.push_back(peer);
  }
  wait_for_peers();
}

RankTeam::~RankTeam() {
  for (const auto& peer : peers_) {
    const std::lock_guard lock(peer->mutex);
    peer->ending = true;
    peer->changed.notify_all();
  }
  if (!peers_.empty())
    communicator_->abort("the learner ended");  // others elsewhere may be at the last call
  for (const auto& peer : peers_) {
    if (peer->idle_within(deadline_))
      peer->thread.join();
    else
      peer->thread.detach();
  }
}

std::string RankTeam::run(const Work& work) {
  if (!lost_.empty()) return lost_;
  const auto shared = std::make_shared<const Work>(work);
  for (const auto& peer : peers_) peer->begin(shared);
  std::exception_ptr own_failure;
  try {
    work(0, *own_);
  } catch (const LostRank& loss) {
    lost_ = loss.what();
  } catch (const std::exception& error) {
    own_failure = std::current_exception();
    if (communicator_) communicator_->abort("learner rank 0 failed: " + std::string(error.what()));
  }
  wait_for_peers();
  if (own_failure) std::rethrow_exception(own_failure);
  return lost_;
}

void RankTeam::wait_for_peers() {
  const auto until = std::chrono::steady_clock::now() + deadline_;
  for (const auto& peer : peers_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(until - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0)));
    std::string loss = "learner rank " + std::to_string(peer->rank) +
                       " did not end its part within " + std::to_string(deadline_.count()) + " ms";
    if (peer->idle_within(left)) loss = peer->loss;
    if (lost_.empty()) lost_ = loss;
  }
}

}  // namespace troupe::gpu
