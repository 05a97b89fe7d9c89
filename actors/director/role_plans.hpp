#pragma once
// From config and materials to the plan of each role, wherever its process runs.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "actors/director/materials.hpp"
#include "actors/generator/generator.hpp"
#include "actors/link/weight_terms.hpp"
#include "actors/verifier/verifier.hpp"

#include <cstdint>
#include <string>

namespace troupe {

Deadlines deadlines_of(const Config& config);

/// `incarnation`: how often this name was cast before.
GeneratorPlan generator_plan(const Config& config, const Materials& materials,
                             const Backends& backends, Telemetry& telemetry, std::size_t stage,
                             const std::string& name, std::uint32_t incarnation);
VerifierPlan verifier_plan(const Config& config, const Materials& materials, Telemetry& telemetry,
                           const std::string& name);

/// How weights travel, and their layout.
WeightTerms weight_terms(const Config& config, const gpu::DecoderConfig& decoder);

/// Bytes of the largest rollout on its way, with its verdict.
std::uint64_t largest_rollout_bytes(const Config& config, const Materials& materials);
/// How many rollouts fit one message of a link, at least one.
std::uint32_t rollouts_per_message(const Config& config, const Materials& materials);
/// How many begun rollouts one ticket may carry, at least one.
std::uint32_t parts_per_ticket(const Config& config, const Materials& materials);
/// How many tickets fit one message, each with as many begun rollouts; at least one.
std::uint32_t tickets_per_message(const Config& config, const Materials& materials);
/// Errors: throws std::runtime_error naming the key if not even one rollout does.
void require_fitting_rollouts(const Config& config, const Materials& materials);

}  // namespace troupe
