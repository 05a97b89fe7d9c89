#include "actors/evaluator/evaluator.hpp"

#include "actors/report_exceptions.hpp"
#include "actors/timed.hpp"

#include <utility>

namespace troupe {

Evaluator::behavior_type evaluator(Evaluator::stateful_pointer<EvaluatorState> self,
                                   EvaluatorSetup setup) {
  auto& state = self->state;
  report_exceptions(self, *setup.telemetry, state.name);
  state.setup = std::move(setup);
  state.setup.prepare_thread();
  state.engine = state.setup.engine();
  const Timed timed(*state.setup.telemetry, state.name);
  return {timed([&state](evaluate_atom, const Weights& weights,
                         const EvaluationPlanPtr& plan) -> caf::result<EvaluationResultPtr> {
    ActivityLog& activity = state.setup.telemetry->activity(state.name);
    activity.enter("evaluate", true);
    auto result = std::make_shared<const EvaluationResult>(
        evaluate(*state.engine, weights.values(), weights.version(), *plan));
    activity.enter("wait", false);
    state.setup.telemetry->record(result->record);
    state.setup.telemetry->progress(state.name);
    return EvaluationResultPtr(std::move(result));
  })};
}

}  // namespace troupe
