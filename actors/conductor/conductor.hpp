#pragma once
// Casts the roles where the replay buffer is, and runs the stages that the director asks for.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/blocking_actor.hpp>
#include <functional>
#include <vector>

namespace troupe {

class Office;

/// What a stage is made from. Everything by reference outlives the conductor.
struct ConductorPlan {
  const Config* config = nullptr;
  const Materials* materials = nullptr;
  Backends backends;
  Telemetry* telemetry = nullptr;
  Office* office = nullptr;  // where other processes join; null: everything is in this one
  /// Called with each cast of an rl stage; tests kill some of it.
  std::function<void(const std::vector<Generator>&, const std::vector<Verifier>&)> on_cast;
};

/// A blocking actor that answers to Conductor's messages (interfaces.hpp). Whoever is cast ends with it.
void conductor(caf::blocking_actor* self, const ConductorPlan& plan, const Director& director);

}  // namespace troupe
