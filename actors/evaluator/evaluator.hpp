#pragma once
// The evaluator's actor: measures published weights with an engine of its own.
#include "actors/evaluator/evaluate.hpp"
#include "actors/generator/generator.hpp"  // EngineFactory
#include "actors/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <functional>
#include <memory>

namespace troupe {

struct EvaluatorSetup {
  std::function<void()> prepare_thread;
  EngineFactory engine;
  Telemetry* telemetry = nullptr;
};

struct EvaluatorState {
  static inline const char* name = "evaluator";
  EvaluatorSetup setup;
  std::unique_ptr<gpu::Engine> engine;
};

/// Spawn detached.
Evaluator::behavior_type evaluator(Evaluator::stateful_pointer<EvaluatorState> self,
                                   EvaluatorSetup setup);

}  // namespace troupe
