#pragma once
// The hand that gets weights ready while its generator decodes.
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "gpu/sampling/engine.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <cstdint>
#include <memory>
#include <string>

namespace troupe {

/// A version that is as its publisher meant it, and laid out for the engine; or one that is not.
struct ReadyWeights {
  Weights weights;
  gpu::PreparedPtr prepared;  // null: the digest is another, or the size
};

struct PreparerPlan {
  std::string generator;
  std::shared_ptr<gpu::Engine> engine;
  std::uint64_t elements = 0;  // of the model's weights
  Telemetry* telemetry = nullptr;
};

/// Reads all values more than once, which would stop the generator for many steps. Spawn detached.
Preparer::behavior_type preparer(Preparer::pointer self, const PreparerPlan& plan);

}  // namespace troupe
