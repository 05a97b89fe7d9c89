#include "actors/link/weight_fetch.hpp"

#include "actors/link/weight_inbox.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "messages/wire/limits.hpp"

#include <kj/debug.h>
#include <memory>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {
namespace {

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

}  // namespace

kj::Promise<Weights> fetch_weights(wire::WeightSource::Client source, std::uint64_t at_least,
                                   const WeightFetch& how, kj::Timer& timer) {
  auto inbox = std::make_shared<WeightInbox>(how.elements);
  auto request = source.nextRequest();
  request.setAtLeast(at_least);
  request.setSink(kj::heap<WeightSinkServer>(inbox, *how.telemetry));
  auto moving = std::make_shared<Movement>(timer, how.call_seconds, inbox);
  return request.send()
      .then([inbox](auto&&) { return inbox->weights(); })  // empty: none yet
      .exclusiveJoin(moving->stopped())
      .attach(kj::mv(moving));
}

}  // namespace troupe
