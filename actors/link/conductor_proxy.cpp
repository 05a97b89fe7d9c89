#include "actors/link/conductor_proxy.hpp"

#include "actors/errors.hpp"
#include "actors/link/chair_desk.hpp"
#include "actors/link/shown_queue.hpp"
#include "actors/telemetry/rollout_log.hpp"

#include <string>
#include <variant>

namespace troupe {
namespace {

/// What the run is told of it: of the learner and the ledger, whose metrics are exported where those are.
struct Recorder {
  Telemetry& telemetry;

  void operator()(const RolloutUpdateRecord& record) {
    telemetry.record(record, Telemetry::Origin::elsewhere);
  }
  void operator()(const SupervisedRecord& record) {
    telemetry.record(record, Telemetry::Origin::elsewhere);
  }
  void operator()(const LedgerRecord& record) {
    telemetry.record(record, Telemetry::Origin::elsewhere);
  }
  void operator()(const EvaluationNote& note) { telemetry.record(note.record); }
  void operator()(const EventRecord& event) { telemetry.event_elsewhere(event); }
  void operator()(const StageBegun&) {}
  void operator()(const Published&) {}
  void operator()(const StageEnded&) {}
  void operator()(const ConductorOver&) {}
};

}  // namespace

caf::behavior conductor_proxy(caf::event_based_actor* self,
                              const std::function<void(std::function<void(ChairDesk&)>)>& post,
                              const Director& director, Telemetry* telemetry) {
  return {
      [post](begin_atom, std::uint32_t stage) {
        post([stage](ChairDesk& desk) { desk.begin(stage); });
      },
      [post](stop_atom) { post([](ChairDesk& desk) { desk.stop(); }); },
      [post](close_atom, const std::string& reason) {
        post([reason](ChairDesk& desk) { desk.close(reason); });
      },
      [telemetry](heard_atom, const NewsBody& body) { std::visit(Recorder{*telemetry}, body); },
      [telemetry](show_atom, const ShownRollout& rollout) {
        if (RolloutLog* const rollouts = telemetry->rollouts()) rollouts->show(rollout);
      },
      [self, director](updated_atom, std::int32_t update, const Weights& weights) {
        self->send(director, updated_atom::value, update, weights);
      },
      [self, director](ended_atom, const StageEndPtr& end) {
        self->send(director, ended_atom::value, end);
      },
      [self](over_atom, const std::string& failure) {
        if (failure.empty()) return self->quit();
        self->quit(make_error(Errc::link_lost, failure));
      },
  };
}

}  // namespace troupe
