#pragma once
// From config and materials to the plan of a process that serves one role elsewhere.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/link/chair.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/site.hpp"
#include "actors/link/study.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <caf/actor_system.hpp>
#include <string>

namespace troupe {

/// What a process has set up. Everything outlives what is planned with it.
struct Surroundings {
  const Config& config;
  const Materials& materials;
  const Backends& backends;
  Telemetry& telemetry;
  caf::actor_system& system;
};

/// Errors: throw std::runtime_error naming file, reason and remedy if a certificate is not usable.
SitePlan site_plan(const Surroundings& around, const std::string& role, const std::string& name);
RelayPlan relay_plan(const Surroundings& around, const std::string& name);
StudyPlan study_plan(const Surroundings& around, const std::string& name);
ChairPlan chair_plan(const Surroundings& around, const std::string& name);

}  // namespace troupe
