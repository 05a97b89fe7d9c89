#include "actors/link/study.hpp"

#include "actors/link/study_desk.hpp"

namespace troupe {

Study::Study(StudyPlan plan) : host_(std::make_shared<DeskHost<StudyDesk, SiteEnd>>()) {
  host_->start(
      [&plan](wire::Loop& loop, StudyDesk::Post post, StudyDesk::Finish finish) {
        return kj::heap<StudyDesk>(loop, plan, std::move(post), std::move(finish));
      },
      [telemetry = plan.telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
}

Study::~Study() {
  host_->stop();
}

SiteEnd Study::wait() {
  return host_->wait();
}

void Study::leave() {
  host_->post([](StudyDesk& desk) { desk.finish({SiteEnd::Kind::left, "asked to leave"}); });
}

}  // namespace troupe
