#pragma once
// How good weights are on prompts they have never seen.
#include "actors/telemetry/records.hpp"
#include "actors/verifier/verifier.hpp"  // GradingRules
#include "gpu/sampling/continuous_batch.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace troupe {

struct EvaluationPrompt {
  std::string text;
  std::vector<std::int32_t> tokens;  // as generators get it, <bos> included
};

struct EvaluationPlan {
  std::vector<EvaluationPrompt> prompts;
  GradingRules rules;
  gpu::SamplingParams
      sampling;  // its temperature is replaced: 1 for the sampled rate, 0 for the greedy one
  std::uint64_t seed = 0;
  std::int32_t update = 0;
  std::int32_t samples_shown = 3;
  /// Called before each decode step; false ends the evaluation early, with the figures of what was
  /// done.
  std::function<bool()> go_on = [] { return true; };
};

struct EvaluationResult {
  EvaluationRecord
      record;  // rates over the prompts; format rate and length of the sampled responses
  std::vector<SampleRecord> samples;  // sampled ones, spread evenly over the prompts
};

/// One response per prompt at temperature 1 and one greedy. engine: any number of slots. A function
/// of (weights, plan) as far as the engine is batch-invariant. Unverifiable responses count as not
/// passed.
EvaluationResult evaluate(gpu::Engine& engine, const gpu::FlatWeights& weights,
                          std::uint64_t version, const EvaluationPlan& plan);

}  // namespace troupe
