#pragma once
// The capabilities that a site offers. They live on the loop, at most as long as the desk's session.
#include "actors/link/codec.hpp"
#include "actors/link/site_desk.hpp"

namespace troupe {

class GeneratorSiteServer final : public wire::GeneratorSite::Server {
 public:
  explicit GeneratorSiteServer(SiteDesk& desk) : desk_(desk) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto params = context.getParams();
    kj::Maybe<wire::WeightSource::Client> weights;
    if (params.hasWeights()) weights = params.getWeights();
    return desk_.begin_generator(read_sheet(params.getSheet()), params.getTickets(),
                                 kj::mv(weights), {params.getWeightsAt(), params.getRelay()});
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
  kj::Promise<void> weightsAt(WeightsAtContext context) override {
    const auto params = context.getParams();
    desk_.weights_at({params.getAddress(), params.getRelay()});
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
    desk_.begin_verifier(read_sheet(params.getSheet()), params.getVerdicts());
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

}  // namespace troupe
