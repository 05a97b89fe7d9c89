#pragma once
// What a peer gets when it joins: one capability, of its role. They live on the loop, as long as the session.
#include "actors/link/front_desk.hpp"
#include "actors/link/learner_stand_in.hpp"
#include "actors/link/site_report.hpp"

namespace troupe {

/// What the posts have in common: each belongs to the seat of one session.
template <class Post>
class SeatedPost : public Post::Server {
 public:
  SeatedPost(FrontDesk& desk, std::string name, std::uint64_t session)
      : desk_(desk), name_(std::move(name)), session_(session) {}
  kj::Promise<void> report(typename Post::Server::ReportContext context) override {
    desk_.report(name_, session_, read_report(context.getParams().getFacts()));
    return kj::READY_NOW;
  }

 protected:
  FrontDesk& desk_;
  const std::string name_;
  const std::uint64_t session_;
};

class GeneratorPostDesk final : public SeatedPost<wire::GeneratorPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    desk_.enlist(name_, session_, {.generator = context.getParams().getSite()});
    return kj::READY_NOW;
  }
  kj::Promise<void> leave(LeaveContext) override { return desk_.leave(name_, session_); }
};

class VerifierPostDesk final : public SeatedPost<wire::VerifierPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    desk_.enlist(name_, session_, {.verifier = context.getParams().getSite()});
    return kj::READY_NOW;
  }
};

class BroadcasterPostDesk final : public SeatedPost<wire::BroadcasterPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk_.enlist(name_, session_, {.broadcaster = params.getSite()});
    desk_.weights_at(params.getAddress());
    return kj::READY_NOW;
  }
};

class LearnerPostDesk final : public SeatedPost<wire::LearnerPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk_.enlist(name_, session_,
                 {.learner = params.getSite(), .learner_weights = params.getWeights()});
    return kj::READY_NOW;
  }
  kj::Promise<void> trained(TrainedContext context) override {
    const auto params = context.getParams();
    return desk_.tell_stand_in(name_, session_, record_atom::value, params.getSequence(),
                               LearnerNews(read_record(params.getRecord())));
  }
  kj::Promise<void> supervised(SupervisedContext context) override {
    const auto params = context.getParams();
    return desk_.tell_stand_in(name_, session_, record_atom::value, params.getSequence(),
                               LearnerNews(read_record(params.getRecord())));
  }
  kj::Promise<void> ended(EndedContext context) override {
    const auto params = context.getParams();
    return desk_.tell_stand_in(name_, session_, ended_atom::value, params.getCast(),
                               read_outcome(params.getOutcome()));
  }
};

class ObserverPostDesk final : public wire::ObserverPost::Server {
 public:
  ObserverPostDesk(FrontDesk& desk, Telemetry& telemetry, std::string run)
      : desk_(desk), telemetry_(telemetry), run_(std::move(run)) {}
  kj::Promise<void> status(StatusContext context) override;

 private:
  FrontDesk& desk_;
  Telemetry& telemetry_;
  std::string run_;
};

}  // namespace troupe
