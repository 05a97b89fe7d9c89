#pragma once
// Takes one version of the weights from another process.
#include "messages/weights.hpp"
#include "messages/wire/roles.capnp.h"

#include <cstdint>
#include <kj/async.h>
#include <kj/timer.h>

namespace troupe {

class Telemetry;

struct WeightFetch {
  std::uint64_t elements = 0;  // of the model
  double call_seconds = 30;    // a transfer that has not moved for that long fails
  Telemetry* telemetry = nullptr;
};

/// The newest version, if it is at least `at_least`; empty: none yet, ask again. On the loop.
/// Errors: rejects with digest_mismatch (counted) if what came is not what was published; OVERLOADED if it does not move.
kj::Promise<Weights> fetch_weights(wire::WeightSource::Client source, std::uint64_t at_least,
                                   const WeightFetch& how, kj::Timer& timer);

}  // namespace troupe
