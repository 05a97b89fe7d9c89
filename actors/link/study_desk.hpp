#pragma once
// The part of a study that lives on the loop: its membership, what the learner is cast for, and what the run has yet to be
// told of it.
#include "actors/link/learner_codec.hpp"
#include "actors/link/learner_stand_in.hpp"  // LearnerNews
#include "actors/link/shown_queue.hpp"
#include "actors/link/study.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_gate.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/training.capnp.h"

#include <deque>
#include <functional>
#include <kj/async.h>
#include <optional>
#include <variant>

namespace troupe {

/// Lives on the loop. What it calls back is given at its making; it never blocks.
class StudyDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Post = std::function<void(std::function<void(StudyDesk&)>)>;
  using Finish = std::function<void(SiteEnd)>;

  StudyDesk(wire::Loop& loop, const StudyPlan& plan, Post post, Finish finish);
  ~StudyDesk() noexcept(false);

  // What the director's process calls (LearnerSite in training.capnp).
  void begin(const CallSheet& sheet, kj::Maybe<wire::BatchSource::Client> batches);
  void stop();
  void finish(const SiteEnd& end);

  // What the learner says.
  void record(const LearnerNews& news);
  void show(const ShownRollout& rollout);
  void published(PolicyVersion version);
  void ended(const LearnerOutcome& outcome);

  // What its proxy of the replay buffer sends, through its way.
  bool cast_for(std::uint64_t cast) const { return sheet_ && sheet_->cast == cast; }
  kj::Promise<BatchPtr> take(const TrainedReport& report);
  kj::Promise<void> settle(const TrainedReport& report);
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }

 private:
  using News = std::variant<RolloutUpdateRecord, SupervisedRecord, RemoteOutcome>;

  void joined(capnp::Capability::Client post);
  void spawn_porter();
  kj::Promise<void> end_stage(std::uint64_t cast, RemoteOutcome outcome);
  void send_news();
  void send_shown();
  void not_taken(std::uint64_t number, const kj::Exception& exception);
  ShownQueue nothing_shown() const;
  kj::Promise<void> sent(wire::LearnerPost::Client post, const News& news);
  void end_casting(const char* why);
  void taskFailed(kj::Exception&& exception) override;

  const StudyPlan plan_;
  kj::Timer& timer_;
  Post post_;
  Finish finish_;
  caf::actor porter_, reporter_, buffer_;
  kj::Own<wire::TlsContext> tls_;  // null: plain
  Learner learner_;
  Broadcaster broadcaster_;  // of the stage; null: none has begun
  std::optional<CallSheet> sheet_;
  std::optional<PolicyVersion> published_;  // in the stage
  kj::Maybe<wire::BatchSource::Client> batches_;
  std::deque<News> news_;       // oldest first, each until it is known to have arrived
  std::uint64_t sequence_ = 1;  // of the first record in it
  ShownQueue shown_;            // of this cast, likewise
  bool sending_ = false, ended_ = false;
  WeightDispatch dispatch_;
  kj::Own<Membership> membership_;
  kj::TaskSet tasks_{*this};
  kj::Own<WeightGate> gate_;  // null: none. Last: its callbacks use all above
};

}  // namespace troupe
