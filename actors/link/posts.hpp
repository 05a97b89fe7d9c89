#pragma once
// What a peer gets when it joins: one capability, of its role. They live on the loop, as long as the session.
#include "actors/link/front_desk.hpp"
#include "actors/link/learner_stand_in.hpp"
#include "actors/link/site_report.hpp"
#include "messages/wire/directing.capnp.h"

namespace troupe {

/// What the posts have in common: each belongs to the seat of one session.
template <class Post>
class SeatedPost : public Post::Server {
 public:
  SeatedPost(FrontDesk& at, std::string who, std::uint64_t stay)
      : desk(at), name(std::move(who)), session(stay) {}
  kj::Promise<void> report(typename Post::Server::ReportContext context) override {
    desk.report(name, session, read_report(context.getParams().getFacts()));
    return kj::READY_NOW;
  }

 protected:
  FrontDesk& desk;
  const std::string name;
  const std::uint64_t session;
};

class GeneratorPostDesk final : public SeatedPost<wire::GeneratorPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk.relays_at(name, session, params.getRelayPort());
    desk.enlist(name, session, {.generator = params.getSite()});
    return kj::READY_NOW;
  }
  kj::Promise<void> leave(LeaveContext) override { return desk.leave(name, session); }
};

class VerifierPostDesk final : public SeatedPost<wire::VerifierPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    desk.enlist(name, session, {.verifier = context.getParams().getSite()});
    return kj::READY_NOW;
  }
  kj::Promise<void> leave(LeaveContext) override { return desk.leave(name, session); }
};

class BroadcasterPostDesk final : public SeatedPost<wire::BroadcasterPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk.enlist(name, session, {.broadcaster = params.getSite()});
    desk.weights_at(params.getAddress());
    return kj::READY_NOW;
  }
};

class LearnerPostDesk final : public SeatedPost<wire::LearnerPost> {
 public:
  using SeatedPost::SeatedPost;
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk.enlist(name, session,
                {.learner = params.getSite(), .learner_weights = params.getWeights()});
    desk.learner_at(params.getAddress());
    return kj::READY_NOW;
  }
  kj::Promise<void> trained(TrainedContext context) override {
    const auto params = context.getParams();
    return desk.tell_stand_in(name, session, record_atom::value, params.getSequence(),
                              LearnerNews(read_record(params.getRecord())));
  }
  kj::Promise<void> supervised(SupervisedContext context) override {
    const auto params = context.getParams();
    return desk.tell_stand_in(name, session, record_atom::value, params.getSequence(),
                              LearnerNews(read_record(params.getRecord())));
  }
  kj::Promise<void> show(ShowContext context) override {
    const auto params = context.getParams();
    return desk.tell_stand_in(name, session, show_atom::value, params.getSequence(),
                              ShownRollout::copy(params.getRollout()));
  }
  kj::Promise<void> ended(EndedContext context) override {
    const auto params = context.getParams();
    return desk.tell_stand_in(name, session, ended_atom::value, params.getCast(),
                              read_outcome(params.getOutcome()));
  }
};

class DirectorPostDesk final : public SeatedPost<wire::DirectorPost> {
 public:
  DirectorPostDesk(FrontDesk& at, Telemetry& telemetry, std::string who, std::uint64_t stay)
      : SeatedPost(at, std::move(who), stay), telemetry_(telemetry) {}
  kj::Promise<void> report(ReportContext context) override;
  kj::Promise<void> begin(BeginContext context) override;
  kj::Promise<void> stop(StopContext context) override;
  kj::Promise<void> close(CloseContext context) override;
  kj::Promise<void> note(NoteContext context) override;
  kj::Promise<void> pause(PauseContext context) override;
  kj::Promise<void> news(NewsContext context) override;
  kj::Promise<void> rollouts(RolloutsContext context) override;
  kj::Promise<void> weights(WeightsContext context) override;

 private:
  Telemetry& telemetry_;
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
