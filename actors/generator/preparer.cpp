#include "actors/generator/preparer.hpp"

#include "actors/report_exceptions.hpp"
#include "actors/timed.hpp"

#include <chrono>
#include <prometheus/histogram.h>

namespace troupe {

namespace {

bool intact(const Weights& weights, std::uint64_t elements) {
  return weights.elements() == elements &&
         gpu::weights_digest(weights.values().get(), elements) == weights.digest();
}

}  // namespace

Preparer::behavior_type preparer(Preparer::pointer self, const PreparerPlan& plan) {
  const std::string name = plan.generator + "-weights";
  report_exceptions(self, *plan.telemetry, name);
  const Timed timed(*plan.telemetry, name);
  return {timed([plan](prepare_atom, const Weights& weights) -> caf::result<ReadyWeights> {
    const auto begin = Clock::now();
    if (!intact(weights, plan.elements)) return ReadyWeights{weights, nullptr};
    ReadyWeights ready{weights, plan.engine->prepare(weights.values())};
    plan.telemetry->metrics()
        .histogram("troupe_generator_weights_prepare_seconds")
        .Observe(std::chrono::duration<double>(Clock::now() - begin).count());
    return ready;
  })};
}

}  // namespace troupe
