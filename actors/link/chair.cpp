#include "actors/link/chair.hpp"

#include "actors/link/chair_desk.hpp"
#include "actors/link/conductor_proxy.hpp"

#include <future>
#include <stdexcept>
#include <utility>
#include <variant>

namespace troupe {

struct Chair::Outlook {
  std::promise<std::variant<Past, SiteEnd>> promise;
};

Chair::Chair(ChairPlan plan)
    : outlook_(std::make_shared<Outlook>()),
      host_(std::make_shared<DeskHost<ChairDesk, SiteEnd>>()),
      plan_(std::move(plan)) {
  host_->start(
      [this](wire::Loop& loop, const ChairDesk::Post&, ChairDesk::Finish finish) {
        const auto known = [outlook = outlook_](std::variant<Past, SiteEnd> what) {
          outlook->promise.set_value(std::move(what));
        };
        return kj::heap<ChairDesk>(loop, plan_, std::move(finish), known);
      },
      [telemetry = plan_.telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
}

Chair::~Chair() {
  host_->stop();
}

Past Chair::past() {
  auto what = outlook_->promise.get_future().get();
  if (const auto* end = std::get_if<SiteEnd>(&what)) throw std::runtime_error(end->text);
  return std::get<Past>(std::move(what));
}

Conductor Chair::cast_conductor(const Director& director) {
  const caf::actor proxy = plan_.system->spawn(
      conductor_proxy,
      [host = host_](std::function<void(ChairDesk&)> work) { host->post(std::move(work)); },
      director, plan_.telemetry);
  host_->post([proxy](ChairDesk& desk) { desk.attend(proxy); });
  return caf::actor_cast<Conductor>(proxy);
}

void Chair::note(const EvaluationNote& note) {
  host_->post([note](ChairDesk& desk) { desk.note(note); });
}

void Chair::pause(bool on) {
  host_->post([on](ChairDesk& desk) { desk.pause(on); });
}

}  // namespace troupe
