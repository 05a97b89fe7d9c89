#include "actors/link/office.hpp"

#include "actors/link/front_desk.hpp"
#include "messages/wire/network.hpp"

#include <caf/send.hpp>
#include <chrono>
#include <future>
#include <kj/async.h>
#include <kj/debug.h>
#include <mutex>
#include <utility>

namespace troupe {

/// What seats share with the office: the way to the loop, while there is one.
struct Office::Link {
  std::mutex mutex;  // guards loop and conductor
  std::unique_ptr<wire::KjThread> loop;
  caf::actor conductor;
  FrontDesk* desk = nullptr;  // a name; used on the loop only
  std::string address;

  /// Runs `work(FrontDesk&)` on the loop; drops it when there is none any more.
  void post(kj::Function<void(FrontDesk&)> work) {
    const std::lock_guard lock(mutex);
    if (!loop) return;
    loop->post([this, work = kj::mv(work)](wire::Loop&) mutable { work(*desk); });
  }
  caf::actor chief() {
    const std::lock_guard lock(mutex);
    return conductor;
  }
};

/// A seat as its stand-in holds it: a name, looked up on the loop with each call.
class LinkedSeat final : public GeneratorSeat,
                         public VerifierSeat,
                         public BroadcasterSeat,
                         public LearnerSeat {
 public:
  LinkedSeat(std::shared_ptr<Office::Link> link, std::string name, std::uint64_t lease)
      : link_(std::move(link)), name_(std::move(name)), lease_(lease) {}

  void begin(const CallSheet& sheet, const caf::actor& stand_in, const Broadcaster& broadcaster,
             Answer<caf::unit_t> answer) override {
    call<caf::unit_t>(kj::mv(answer),
                      [casting = Seat::Casting{sheet, stand_in, broadcaster, {}}](
                          FrontDesk& desk, Seat& seat) { return unit(desk.cast(seat, casting)); });
  }
  void begin(const CallSheet& sheet, const caf::actor& stand_in, const ReplayBuffer& buffer,
             Answer<caf::unit_t> answer) override {
    call<caf::unit_t>(kj::mv(answer),
                      [casting = Seat::Casting{sheet, stand_in, {}, buffer}](
                          FrontDesk& desk, Seat& seat) { return unit(desk.cast(seat, casting)); });
  }
  void take(std::uint32_t count, const RolloutIds& acknowledged, Answer<Rollouts> answer) override {
    call<Rollouts>(kj::mv(answer), [count, acknowledged](FrontDesk& desk, Seat& seat) {
      return desk.take(seat, count, acknowledged);
    });
  }
  void end(Answer<SiteTotals> answer) override {
    call<SiteTotals>(kj::mv(answer),
                     [](FrontDesk& desk, Seat& seat) { return desk.end_generator(seat); });
  }
  void stop(Answer<caf::unit_t> answer) override {
    call<caf::unit_t>(kj::mv(answer),
                      [](FrontDesk& desk, Seat& seat) { return unit(desk.stop_learner(seat)); });
  }
  void next_weights(std::uint64_t at_least, Answer<Weights> answer) override {
    call<Weights>(kj::mv(answer), [at_least](FrontDesk& desk, Seat& seat) {
      return desk.learner_weights(seat, at_least);
    });
  }
  void join(const std::string& name, const Generator& generator,
            Answer<caf::unit_t> answer) override {
    call<caf::unit_t>(kj::mv(answer), [name, generator](FrontDesk& desk, Seat& seat) {
      return unit(desk.join(seat, name, generator));
    });
  }
  void release(std::uint64_t cast) override {
    link_->post([name = name_, lease = lease_, cast](FrontDesk& desk) {
      if (Seat* seat = desk.find(name, lease)) desk.release(*seat, cast);
    });
  }

 private:
  static kj::Promise<caf::unit_t> unit(kj::Promise<void> promise) {
    return promise.then([] { return caf::unit_t{}; });
  }
  template <class T, class Work>
  void call(Answer<T> answer, Work work) {
    link_->post([name = name_, lease = lease_, answer = kj::mv(answer),
                 work = kj::mv(work)](FrontDesk& desk) mutable {
      Seat* seat = desk.find(name, lease);
      if (seat == nullptr)
        return answer.give(make_error(Errc::link_failed, "the seat of " + name + " was given up"));
      desk.keep(deliver<T>(kj::evalNow([&] { return work(desk, *seat); }), kj::mv(answer)));
    });
  }

  std::shared_ptr<Office::Link> link_;
  std::string name_;
  std::uint64_t lease_;
};

Office::Office(OfficePlan plan) : link_(std::make_shared<Link>()) {
  const auto host = wire::parse_address(plan.listen).host;
  Telemetry* telemetry = plan.telemetry;
  std::weak_ptr<Link> weak = link_;
  const auto announce = [weak](const std::string& name, const std::string& role,
                               std::uint64_t lease) {
    const auto link = weak.lock();
    const caf::actor conductor = link ? link->chief() : caf::actor();
    if (!conductor) return;
    const auto seat = std::make_shared<LinkedSeat>(link, name, lease);
    Enlistment enlistment{name, lease, nullptr, nullptr, nullptr, nullptr};
    if (role == "generator") enlistment.generator = seat;
    if (role == "verifier") enlistment.verifier = seat;
    if (role == "broadcaster") enlistment.broadcaster = seat;
    if (role == "learner") enlistment.learner = seat;
    caf::anon_send(conductor, enlisted_atom::value, enlistment);
  };
  unsigned port = 0;
  Link* link = link_.get();
  const std::lock_guard lock(link_->mutex);
  link_->loop = std::make_unique<wire::KjThread>(
      [&](wire::Loop& loop) -> kj::Own<void> {
        auto desk = kj::heap<FrontDesk>(loop, plan, announce);
        link->desk = desk.get();
        port = desk->port();
        return desk;
      },
      [telemetry](kj::LogSeverity, const std::string& text) {
        telemetry->event("link_error", text);
      });
  link_->address = host + ":" + std::to_string(port);
}

Office::~Office() {
  std::unique_ptr<wire::KjThread> loop;
  {
    const std::lock_guard lock(link_->mutex);
    loop = std::move(link_->loop);
    link_->conductor = nullptr;
  }
}

const std::string& Office::address() const {
  return link_->address;
}

void Office::attend(const caf::actor& conductor) {
  {
    const std::lock_guard lock(link_->mutex);
    link_->conductor = conductor;
  }
  link_->post([](FrontDesk& desk) { desk.announce_all(); });
}

void Office::dismiss(const std::string& reason) {
  const auto done = std::make_shared<std::promise<void>>();
  link_->post(
      [reason, done](FrontDesk& desk) { desk.dismiss(reason, [done] { done->set_value(); }); });
  done->get_future().wait_for(std::chrono::seconds(2));
}

}  // namespace troupe
