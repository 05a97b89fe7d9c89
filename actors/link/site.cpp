#include "actors/link/site.hpp"

#include "actors/link/site_desk.hpp"

namespace troupe {

Site::Site(SitePlan plan) : host_(std::make_shared<DeskHost<SiteDesk, SiteEnd>>()) {
  host_->start(
      [&plan](wire::Loop& loop, SiteDesk::Post post, SiteDesk::Finish finish) {
        return kj::heap<SiteDesk>(loop, plan, std::move(post), std::move(finish));
      },
      [telemetry = plan.telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
}

Site::~Site() {
  host_->stop();
}

SiteEnd Site::wait() {
  return host_->wait();
}

void Site::leave(double seconds) {
  host_->post([seconds](SiteDesk& desk) { desk.leave(seconds); });
}

}  // namespace troupe
