#include "actors/link/relay_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/forwarder.hpp"
#include "actors/link/generator_proxies.hpp"

#include <caf/send.hpp>
#include <kj/debug.h>
#include <utility>

namespace troupe {
namespace {

class BroadcasterSiteServer final : public wire::BroadcasterSite::Server {
 public:
  explicit BroadcasterSiteServer(RelayDesk& desk) : desk_(desk) {}
  kj::Promise<void> begin(BeginContext context) override {
    const auto params = context.getParams();
    desk_.begin(read_sheet(params.getSheet()), params.getWeights());
    desk_.weights_at(params.getWeightsAt());
    return kj::READY_NOW;
  }
  kj::Promise<void> weightsAt(WeightsAtContext context) override {
    desk_.weights_at(context.getParams().getAddress());
    return kj::READY_NOW;
  }
  kj::Promise<void> end(EndContext) override {
    desk_.end("the stage is over");
    return kj::READY_NOW;
  }
  kj::Promise<void> dismiss(DismissContext context) override {
    desk_.finish({SiteEnd::Kind::dismissed, context.getParams().getReason()});
    return kj::READY_NOW;
  }

 private:
  RelayDesk& desk_;
};

class UpstreamWeights final : public WeightWay {
 public:
  explicit UpstreamWeights(RelayDesk::Post post) : post_(std::move(post)) {}
  void next(std::uint64_t at_least, Answer<Weights> answer) override {
    auto kept = std::make_shared<Answer<Weights>>(std::move(answer));  // std::function copies
    post_([kept, at_least](RelayDesk& desk) {
      desk.keep(deliver<Weights>(kj::evalNow([&] { return desk.next_weights(at_least); }),
                                 Answer<Weights>(std::move(*kept))));
    });
  }

 private:
  RelayDesk::Post post_;
};

}  // namespace

RelayDesk::RelayDesk(wire::Loop& loop, const RelayPlan& plan, Post post, Finish finish)
    : plan_(plan), timer_(loop.timer), post_(std::move(post)), finish_(std::move(finish)) {
  porter_ = plan_.system->spawn([post = post_](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([post](const caf::down_msg& down) {
      post([why = describe(down.reason), who = down.source](RelayDesk& desk) {
        if (desk.broadcaster_ && desk.broadcaster_.address() == who)
          desk.finish({SiteEnd::Kind::actor_died, "the broadcaster died: " + why});
      });
    });
    return {errand_handler(self)};
  });
  intake_.emplace(loop, plan_.weights, plan_.limits.call_seconds, plan_.deadlines, *plan_.system,
                  *plan_.telemetry);
  dispatch_.emplace(loop, plan_.weights, *plan_.telemetry);
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  gate_ = kj::heap<WeightGate>(
      loop, plan_, WeightGatePlan{plan_.listen, plan_.address, "generator"}, tls_.get(), *dispatch_,
      DeskTerms{porter_, plan_.deadlines.request}, [this] { return broadcaster_; }, membership_);
  learner_.emplace(
      loop, plan_, "learner", tls_.get(),
      WeightLink::Events{[this] { return membership_->run_id(); }, [this] { attached(); }});
  Membership::Events events;
  events.joined = [this](capnp::Capability::Client granted) { joined(kj::mv(granted)); };
  events.left = [this] { upstream_ = nullptr; };  // generators go on with what is here
  events.report = [this](capnp::Capability::Client granted, const SiteReport& facts) {
    return report(kj::mv(granted), facts);
  };
  events.over = [this](const SiteEnd& end) { this->finish(end); };
  membership_ = kj::heap<Membership>(loop, plan_, tls_.get(), std::move(events));
}

RelayDesk::~RelayDesk() noexcept(false) {
  end("the process ends");
  caf::anon_send_exit(porter_, caf::exit_reason::user_shutdown);
}

void RelayDesk::attached() {
  if (proxy_) caf::anon_send(proxy_, attached_atom::value);
}

void RelayDesk::joined(capnp::Capability::Client post) {
  auto request = post.castAs<wire::BroadcasterPost>().enlistRequest();
  request.setSite(kj::heap<BroadcasterSiteServer>(*this));
  request.setAddress(gate_->address());
  keep(timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds),
                           request.send().ignoreResult()));
}

void RelayDesk::begin(const CallSheet& sheet, wire::WeightSource::Client weights) {
  end("cast anew");
  sheet_ = sheet;
  upstream_ = kj::mv(weights);
  broadcaster_ = plan_.cast_broadcaster();
  proxy_ = plan_.system->spawn(broadcaster_proxy, std::make_shared<UpstreamWeights>(post_),
                               plan_.deadlines);
  forwarder_ = plan_.system->spawn(forwarder, caf::actor_cast<Broadcaster>(proxy_), broadcaster_,
                                   sheet.first_version, plan_.deadlines);
  run_in(porter_, [broadcaster = broadcaster_](caf::event_based_actor* self) {
    self->monitor(broadcaster);
  });
}

void RelayDesk::end(const char* why) {
  if (sheet_) plan_.telemetry->event("dismissed", plan_.name + ": " + why);
  sheet_.reset();
  intake_->forget();
  upstream_ = nullptr;
  learner_->dial({});
  for (caf::actor* actor : {&proxy_, &forwarder_}) {
    if (*actor) caf::anon_send_exit(*actor, caf::exit_reason::user_shutdown);
    *actor = nullptr;
  }
  if (broadcaster_) caf::anon_send_exit(broadcaster_, caf::exit_reason::user_shutdown);
  broadcaster_ = nullptr;
}

/// Straight from the learner where it has a gate.
kj::Promise<Weights> RelayDesk::next_weights(std::uint64_t at_least) {
  return learner_->fetch(*intake_, at_least, upstream_);
}

kj::Promise<void> RelayDesk::report(capnp::Capability::Client post, const SiteReport& facts) {
  auto request = post.castAs<wire::BroadcasterPost>().reportRequest();
  write(facts, request.initFacts());
  return request.send().ignoreResult();
}

void RelayDesk::finish(const SiteEnd& end) {
  if (std::exchange(ended_, true)) return;
  this->end("the run is over");
  membership_->quiet();
  finish_(end);
}

void RelayDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
