#pragma once
// What a peer gets when it joins: one capability, of its role. They live on the loop, as long as the session.
#include "actors/link/front_desk.hpp"
#include "actors/link/learner_stand_in.hpp"
#include "actors/link/site_report.hpp"

namespace troupe {

class GeneratorPostDesk final : public wire::GeneratorPost::Server {
 public:
  GeneratorPostDesk(FrontDesk& desk, std::string name, std::uint64_t session)
      : desk_(desk), name_(std::move(name)), session_(session) {}
  kj::Promise<void> enlist(EnlistContext context) override {
    desk_.enlist(name_, session_, {.generator = context.getParams().getSite()});
    return kj::READY_NOW;
  }
  kj::Promise<void> report(ReportContext context) override {
    desk_.report(name_, session_, read_report(context.getParams().getFacts()));
    return kj::READY_NOW;
  }
  kj::Promise<void> leave(LeaveContext) override { return desk_.leave(name_, session_); }

 private:
  FrontDesk& desk_;
  std::string name_;
  std::uint64_t session_;
};

class VerifierPostDesk final : public wire::VerifierPost::Server {
 public:
  VerifierPostDesk(FrontDesk& desk, std::string name, std::uint64_t session)
      : desk_(desk), name_(std::move(name)), session_(session) {}
  kj::Promise<void> enlist(EnlistContext context) override {
    desk_.enlist(name_, session_, {.verifier = context.getParams().getSite()});
    return kj::READY_NOW;
  }
  kj::Promise<void> report(ReportContext context) override {
    desk_.report(name_, session_, read_report(context.getParams().getFacts()));
    return kj::READY_NOW;
  }

 private:
  FrontDesk& desk_;
  std::string name_;
  std::uint64_t session_;
};

class BroadcasterPostDesk final : public wire::BroadcasterPost::Server {
 public:
  BroadcasterPostDesk(FrontDesk& desk, std::string name, std::uint64_t session)
      : desk_(desk), name_(std::move(name)), session_(session) {}
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk_.enlist(name_, session_, {.broadcaster = params.getSite()});
    desk_.weights_at(params.getAddress());
    return kj::READY_NOW;
  }
  kj::Promise<void> report(ReportContext context) override {
    desk_.report(name_, session_, read_report(context.getParams().getFacts()));
    return kj::READY_NOW;
  }

 private:
  FrontDesk& desk_;
  std::string name_;
  std::uint64_t session_;
};

class LearnerPostDesk final : public wire::LearnerPost::Server {
 public:
  LearnerPostDesk(FrontDesk& desk, std::string name, std::uint64_t session)
      : desk_(desk), name_(std::move(name)), session_(session) {}
  kj::Promise<void> enlist(EnlistContext context) override {
    const auto params = context.getParams();
    desk_.enlist(name_, session_,
                 {.learner = params.getSite(), .learner_weights = params.getWeights()});
    return kj::READY_NOW;
  }
  kj::Promise<void> report(ReportContext context) override {
    desk_.report(name_, session_, read_report(context.getParams().getFacts()));
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

 private:
  FrontDesk& desk_;
  std::string name_;
  std::uint64_t session_;
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
