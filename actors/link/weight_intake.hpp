#pragma once
// Where versions of the weights come in from another process.
#include "actors/link/nccl_carrier.hpp"
#include "actors/link/weight_inbox.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/roles.capnp.h"

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <cstdint>
#include <kj/async.h>
#include <memory>

namespace troupe {

/// One per source of weights. Lives on the loop.
class WeightIntake {
 public:
  WeightIntake(wire::Loop& loop, WeightTerms terms, double stall_seconds, Deadlines deadlines,
               caf::actor_system& system, Telemetry& telemetry);
  ~WeightIntake() noexcept(false);
  WeightIntake(const WeightIntake&) = delete;
  WeightIntake& operator=(const WeightIntake&) = delete;

  /// The newest version, if it is at least that, whole and attested; empty: none yet. After a version was refused the
  /// next one comes by the plainest carrier.
  /// Errors: rejects with digest_mismatch, OVERLOADED if nothing moves for stall_seconds, or what the source failed with.
  kj::Promise<Weights> fetch(wire::WeightSource::Client source, std::uint64_t at_least);
  /// Nobody here needs the version any more.
  void forget() { held_ = {}; }
  /// The run is over: nothing comes in any more, and no actor of this is left.
  void close();

 private:
  void describe(wire::WeightReceiver::Builder receiver) const;
  kj::Promise<Weights> attest(const Parcel& parcel);

  wire::Loop loop_;
  const WeightTerms terms_;
  const double stall_seconds_;
  const Deadlines deadlines_;
  Telemetry& telemetry_;
  std::shared_ptr<NcclReceiver> nccl_;
  caf::actor opener_;
  Weights held_;  // the newest attested one: changes are applied to it
  bool plain_ = false;
};

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Parcel)
