#pragma once
// The capabilities that a site offers. They live on the loop, at most as long as the desk's session.
#include "actors/link/codec.hpp"
#include "actors/link/site_desk.hpp"
#include "actors/link/weight_inbox.hpp"

#include <kj/timer.h>
#include <prometheus/counter.h>

namespace troupe {

class GeneratorSiteServer final : public wire::GeneratorSite::Server {
 public:
  explicit GeneratorSiteServer(SiteDesk& desk) : desk_(desk) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto params = context.getParams();
    return desk_.begin_generator({params.getSheet().getCast(), params.getSheet().getStage()},
                                 params.getTickets(), params.getWeights());
  }
  kj::Promise<void> take(TakeContext context) override {
    const auto params = context.getParams();
    return desk_.take(params.getCount(), read_ids(params.getAcknowledged()))
        .then([context](Rollouts rollouts) mutable {
          write(rollouts,
                context.getResults().initRollouts(static_cast<unsigned>(rollouts.size())));
        });
  }
  kj::Promise<void> end(EndContext context) override {
    return desk_.end_generator().then([context](SiteTotals totals) mutable {
      auto results = context.getResults();
      results.setSampledTokens(totals.generated.sampled_tokens);
      results.setPromptTokens(totals.generated.prompt_tokens);
      results.setRollouts(totals.generated.rollouts);
      results.setBusySeconds(totals.time.busy_seconds);
      results.setIdleSeconds(totals.time.idle_seconds);
    });
  }
  kj::Promise<void> dismiss(DismissContext context) override {
    desk_.dismiss(context.getParams().getReason());
    return kj::READY_NOW;
  }

 private:
  SiteDesk& desk_;
};

class VerifierSiteServer final : public wire::VerifierSite::Server {
 public:
  explicit VerifierSiteServer(SiteDesk& desk) : desk_(desk) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto params = context.getParams();
    desk_.begin_verifier({params.getSheet().getCast(), params.getSheet().getStage()},
                         params.getVerdicts());
    return kj::READY_NOW;
  }
  kj::Promise<void> join(JoinContext context) override {
    desk_.join(context.getParams().getGenerator(), context.getParams().getSource());
    return kj::READY_NOW;
  }
  kj::Promise<void> end(EndContext) override {
    desk_.end_verifier();
    return kj::READY_NOW;
  }
  kj::Promise<void> dismiss(DismissContext context) override {
    desk_.dismiss(context.getParams().getReason());
    return kj::READY_NOW;
  }

 private:
  SiteDesk& desk_;
};

/// Takes one version.
class WeightSinkServer final : public wire::WeightSink::Server {
 public:
  WeightSinkServer(std::shared_ptr<WeightInbox> inbox, Telemetry& telemetry)
      : inbox_(std::move(inbox)), telemetry_(telemetry) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto header = context.getParams().getHeader();
    wire::validate(header);
    inbox_->begin(header.getVersion(), header.getElements(), header.getDigest());
    return kj::READY_NOW;
  }
  kj::Promise<void> bucket(BucketContext context) override {
    const auto params = context.getParams();
    KJ_ON_SCOPE_FAILURE(
        telemetry_.metrics().counter("troupe_broadcaster_checksum_mismatch_total").Increment());
    inbox_->bucket(params.getOffset(), params.getBytes(), params.getDigest());
    return kj::READY_NOW;
  }
  kj::Promise<void> commit(CommitContext) override {
    inbox_->commit();
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<WeightInbox> inbox_;
  Telemetry& telemetry_;
};

/// Fails once a transfer has not moved for `seconds`: a deadline that a large model does not outgrow.
class Movement {
 public:
  Movement(kj::Timer& timer, double seconds, std::shared_ptr<WeightInbox> inbox)
      : timer_(timer), seconds_(seconds), inbox_(std::move(inbox)) {}
  kj::Promise<Weights> stopped() {
    return timer_.afterDelay(wire::duration(seconds_)).then([this]() -> kj::Promise<Weights> {
      if (seen_ == inbox_->received_bytes()) return KJ_EXCEPTION(OVERLOADED, "weights do not move");
      seen_ = inbox_->received_bytes();
      return stopped();
    });
  }

 private:
  kj::Timer& timer_;
  double seconds_;
  std::shared_ptr<WeightInbox> inbox_;
  std::uint64_t seen_ = 0;
};

}  // namespace troupe
