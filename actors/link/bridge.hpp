#pragma once
// Where CAF and KJ meet. From the loop to an actor: `ask`. From an actor to the loop: a task that is posted, whose
// `Answer` comes back as an errand in the actor's own context.
#include "actors/errors.hpp"
#include "messages/wire/kj_thread.hpp"

#include <caf/actor_clock.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/expected.hpp>
#include <caf/send.hpp>
#include <functional>
#include <kj/async.h>
#include <kj/exception.h>
#include <memory>
#include <utility>

namespace troupe {

using attached_atom = caf::atom_constant<caf::atom("attached")>;  // the link is there (again)

/// Work for an actor, run in its own context. An actor that is gone does not run it.
using Errand = std::shared_ptr<std::function<void(caf::event_based_actor*)>>;

/// Safe from any thread.
inline void run_in(const caf::actor& actor, std::function<void(caf::event_based_actor*)> work) {
  caf::anon_send(actor,
                 std::make_shared<std::function<void(caf::event_based_actor*)>>(std::move(work)));
}
/// The handler that an actor needs for `run_in` and `ask`.
inline auto errand_handler(caf::event_based_actor* self) {
  return [self](const Errand& errand) { (*errand)(self); };
}

/// DISCONNECTED -> link_lost, OVERLOADED -> link_busy, UNIMPLEMENTED -> link_unsupported, others -> link_failed.
caf::error to_error(const kj::Exception& exception);
/// A timeout -> OVERLOADED, a dead or ended actor -> DISCONNECTED, others -> FAILED.
kj::Exception to_exception(const caf::error& error);

/// Whoever waits for a task on the loop. Hands over a value or an error exactly once; dropped without, it hands over
/// link_lost, so that nobody waits for ever.
template <class T>
class Answer {
 public:
  using Then = std::function<void(caf::expected<T>)>;

  /// `then` runs in `actor`'s context.
  Answer(caf::actor actor, Then then) : actor_(std::move(actor)), then_(std::move(then)) {}
  Answer(Answer&& other) noexcept
      : actor_(std::move(other.actor_)), then_(std::exchange(other.then_, nullptr)) {}
  Answer& operator=(Answer&&) = delete;
  ~Answer() { give(make_error(Errc::link_lost, "the link is closed")); }

  void give(caf::expected<T> result) {
    if (!then_) return;
    run_in(actor_, [then = std::exchange(then_, nullptr),
                    result = std::move(result)](caf::event_based_actor*) { then(result); });
  }

 private:
  caf::actor actor_;
  Then then_;
};

/// Fulfils `answer` from `promise`; returns what has to be kept alive meanwhile.
template <class T>
kj::Promise<void> deliver(kj::Promise<T> promise, Answer<T> answer) {
  auto kept = kj::heap<Answer<T>>(kj::mv(answer));
  Answer<T>& to = *kept;
  return promise
      .then([&to](T&& value) { to.give(kj::mv(value)); },
            [&to](kj::Exception&& e) { to.give(to_error(e)); })
      .attach(kj::mv(kept));
}

/// Fulfils a promise of the loop, from any thread. Dropped without, as by an actor that is gone, it rejects with
/// DISCONNECTED.
template <class Out>
class Fulfilment {
 public:
  explicit Fulfilment(kj::Own<kj::CrossThreadPromiseFulfiller<Out>> fulfiller)
      : fulfiller_(kj::mv(fulfiller)) {}
  Fulfilment(const Fulfilment&) = delete;
  ~Fulfilment() noexcept(false) {
    if (fulfiller_->isWaiting()) reject(make_error(Errc::link_lost, "who was to ask is gone"));
  }
  void fulfill(Out value) const { fulfiller_->fulfill(kj::mv(value)); }
  void reject(const caf::error& error) const { fulfiller_->reject(to_exception(error)); }

 private:
  kj::Own<kj::CrossThreadPromiseFulfiller<Out>> fulfiller_;
};

/// Asks an actor from the loop, in the name of `porter`. Dropping the promise drops the answer, not the work.
template <class Out, class Handle, class... Values>
kj::Promise<Out> ask(const caf::actor& porter, const Handle& target,
                     caf::actor_clock::duration_type deadline, Values... values) {
  auto paf = kj::newPromiseAndCrossThreadFulfiller<Out>();
  auto done =
      std::make_shared<Fulfilment<Out>>(kj::mv(paf.fulfiller));  // shared: std::function copies
  run_in(porter, [=](caf::event_based_actor* self) {
    self->request(target, deadline, values...)
        .then([done](const Out& out) { done->fulfill(Out(out)); },
              [done](const caf::error& error) { done->reject(error); });
  });
  return kj::mv(paf.promise);
}

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Errand)
