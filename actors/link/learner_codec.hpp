#pragma once
// What a learner in another process and the director's process tell each other. Whatever a peer sent is checked here.
#include "actors/interfaces.hpp"
#include "messages/wire/training.capnp.h"

namespace troupe {

/// Errors: the readers throw kj::Exception if a figure is not finite or a count is negative.
TrainedReport read_report(wire::TrainedReport::Reader from);
void write(const TrainedReport& report, wire::TrainedReport::Builder to);

/// The batch without its groups.
Batch read_head(wire::BatchHead::Reader from);
void write(const Batch& batch, wire::BatchHead::Builder to);

RolloutUpdateRecord read_record(wire::UpdateRecord::Reader from);
void write(const RolloutUpdateRecord& record, wire::UpdateRecord::Builder to);
SupervisedRecord read_record(wire::SupervisedRecord::Reader from);
void write(const SupervisedRecord& record, wire::SupervisedRecord::Builder to);

/// How a stage ended, but for the weights: those are fetched by their version.
struct RemoteOutcome {
  LearnerOutcome outcome;
  PolicyVersion version = 0;
  ActorTime time;  // of the stage
};
RemoteOutcome read_outcome(wire::LearnerOutcome::Reader from);
void write(const RemoteOutcome& outcome, wire::LearnerOutcome::Builder to);

}  // namespace troupe
