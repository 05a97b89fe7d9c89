#pragma once
// Finished rollouts and the verifiers that ask for them: what generators and their stand-ins share.
#include "actors/generator/outbox.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"

#include <caf/actor_addr.hpp>
#include <caf/actor_cast.hpp>
#include <cstddef>
#include <cstdint>
#include <set>

namespace troupe {

/// Lends rollouts to verifiers until they are acknowledged. Part of one actor's state.
class Lending {
 public:
  Lending() = default;
  ~Lending() { tell(0); }
  Lending(const Lending&) = delete;
  Lending& operator=(const Lending&) = delete;
  /// What is lent counts there for as long as this lives.
  void count_in(Telemetry& telemetry) { telemetry_ = &telemetry; }

  void put(Rollout rollout) { outbox_.put(std::move(rollout)); }
  bool holds(std::uint64_t delivery) const { return outbox_.holds(delivery); }
  std::size_t size() const { return outbox_.size(); }
  std::size_t ready() const { return outbox_.ready(); }

  /// The handler of `take`. Self: a pointer to the actor.
  template <class Self>
  caf::typed_response_promise<Rollouts> take(Self self, std::uint32_t count,
                                             const RolloutIds& acknowledged) {
    const auto verifier = caf::actor_cast<caf::actor_addr>(self->current_sender());
    outbox_.acknowledge(acknowledged, verifier);
    // A verifier has one request open: an older one has timed out, and what it was answered with never arrived.
    forget(verifier);
    outbox_.give_back(verifier);
    if (monitored_.insert(verifier).second) self->monitor(verifier);
    auto promise = self->template make_response_promise<Rollouts>();
    verifiers_.add(promise, {count, verifier}, self->clock().now());
    serve();
    return promise;
  }

  /// Answers who waits, as far as there are rollouts.
  void serve() {
    while (!verifiers_.empty() && outbox_.ready() > 0) {
      auto& entry = verifiers_.front();
      entry.promise.deliver(outbox_.take(entry.wish.count, entry.wish.verifier));
      verifiers_.pop_front();
    }
    tell(outbox_.lent());
  }

  /// A verifier is gone; returns how many rollouts are ready for others again.
  std::size_t lose(const caf::actor_addr& verifier) {
    monitored_.erase(verifier);
    forget(verifier);
    const std::size_t back = outbox_.give_back(verifier);
    serve();
    return back;
  }

  void answer_impatient(caf::actor_clock::time_point now,
                        caf::actor_clock::duration_type patience) {
    verifiers_.answer_impatient(now, patience);
  }

 private:
  void tell(std::size_t lent) {
    if (telemetry_ != nullptr)
      telemetry_->lends(static_cast<std::int64_t>(lent) - static_cast<std::int64_t>(told_));
    told_ = lent;
  }
  struct Wish {
    std::uint32_t count;
    caf::actor_addr verifier;
  };
  void forget(const caf::actor_addr& verifier) {
    verifiers_.forget_if([&](const Wish& wish) { return wish.verifier == verifier; });
  }

  Outbox<caf::actor_addr> outbox_;
  WaitingLine<Rollouts, Wish> verifiers_;
  std::set<caf::actor_addr> monitored_;
  Telemetry* telemetry_ = nullptr;
  std::size_t told_ = 0;  // lent
};

}  // namespace troupe
