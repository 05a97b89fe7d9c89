#include "actors/link/site.hpp"

#include "actors/link/site_desk.hpp"

#include <condition_variable>
#include <mutex>

namespace troupe {

struct Site::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<SiteEnd> end;
  std::mutex loop_mutex;  // guards loop
  std::unique_ptr<wire::KjThread> loop;
  SiteDesk* desk = nullptr;  // a name; used on the loop only

  void post(std::function<void(SiteDesk&)> work) {
    const std::lock_guard lock(loop_mutex);
    if (loop) loop->post([this, work = std::move(work)](wire::Loop&) { work(*desk); });
  }
};

Site::Site(SitePlan plan) : state_(std::make_shared<State>()) {
  const auto state = state_;
  Telemetry* telemetry = plan.telemetry;
  const std::lock_guard lock(
      state_->loop_mutex);  // who posts meanwhile waits until there is a loop
  state_->loop = std::make_unique<wire::KjThread>(
      [&, state](wire::Loop& on) -> kj::Own<void> {
        auto desk = kj::heap<SiteDesk>(
            on, plan,
            [state](std::function<void(SiteDesk&)> work) { state->post(std::move(work)); },
            [state](SiteEnd end) {
              const std::lock_guard guard(state->mutex);
              state->end = std::move(end);
              state->changed.notify_all();
            });
        state->desk = desk.get();
        return desk;
      },
      [telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
}

Site::~Site() {
  std::unique_ptr<wire::KjThread> loop;  // ends outside of the lock, which tasks on the loop take
  {
    const std::lock_guard lock(state_->loop_mutex);
    loop = std::move(state_->loop);
  }
}

SiteEnd Site::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->end.has_value(); });
  return *state_->end;
}

void Site::leave(double seconds) {
  state_->post([seconds](SiteDesk& desk) { desk.leave(seconds); });
}

}  // namespace troupe
