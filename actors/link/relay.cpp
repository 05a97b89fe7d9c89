#include "actors/link/relay.hpp"

#include "actors/link/relay_desk.hpp"

namespace troupe {

Relay::Relay(RelayPlan plan) : host_(std::make_shared<DeskHost<RelayDesk, SiteEnd>>()) {
  host_->start(
      [&](wire::Loop& loop, RelayDesk::Post post, RelayDesk::Finish finish) {
        auto desk = kj::heap<RelayDesk>(loop, plan, std::move(post), std::move(finish));
        address_ = desk->address();
        return desk;
      },
      [telemetry = plan.telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
}

Relay::~Relay() {
  host_->stop();
}

SiteEnd Relay::wait() {
  return host_->wait();
}

void Relay::leave() {
  host_->post([](RelayDesk& desk) { desk.finish({SiteEnd::Kind::left, "asked to leave"}); });
}

}  // namespace troupe
