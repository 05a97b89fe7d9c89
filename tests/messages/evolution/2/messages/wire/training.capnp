@0xcaad9965513d6fd5;
# A learner in a process of its own.
#
#   learner's process                        the director's process
#   LearnerSite    <-- begin, stop --------  (a stand-in actor)
#                  --- take, settle ------>  BatchSource       batches, written into the caller's BatchSink
#                  <-- next ---------------  WeightSource      of the learner: each version, and what a stage ended with
#                  --- show, trained, ended -> LearnerPost     what the run is told
#
# Every call may be repeated after a lost link: take and settle by the batch, records and what is shown by their sequences,
# ended by its cast.

using Cxx = import "/capnp/c++.capnp";
using Roles = import "/messages/wire/roles.capnp";
using Shown = import "/messages/shown_rollout.capnp";
$Cxx.namespace("troupe::wire");

struct TrainedReport {
  # What became of the batch the learner had.
  version @0 :UInt64;        # The newest published version: the next batch is trained at it.
  hadBatch @1 :Bool;
  batch @2 :UInt64;
  refused @3 :Text;          # Why the batch was not trained; empty: it was.
}

struct BatchHead {
  id @0 :UInt64;
  version @1 :UInt64;        # The one it is to be trained at.
  groups @2 :UInt32;         # How many follow.
  # Over all rollouts, before groups without signal were dropped:
  allGroups @3 :UInt32;
  groupsWithSignal @4 :UInt32;
  allRollouts @5 :UInt32;
  rewardMean @6 :Float64;
  passRate @7 :Float64;
  formatRate @8 :Float64;
  responseTokensMean @9 :Float64;
  lagHistogram @10 :List(UInt64);   # Tokens by lag 0, 1, 2, ...
}

interface BatchSource {
  take @0 (report :TrainedReport, sink :BatchSink) -> (sent :Bool);
  # Settles the batch before, writes the next into the sink; not sent: none yet, ask again.
  settle @1 (report :TrainedReport) -> ();
  # Asks for no other.
}

interface BatchSink {
  begin @0 (head :BatchHead) -> ();
  part @1 (ticket :UInt64, rollouts :List(Roles.GradedRollout)) -> stream;
  # Rollouts of one group, in the order of their index; a group may come in several parts, one after the other.
  commit @2 () -> ();
}

struct UpdateRecord {
  # One update of an rl stage; fields as RolloutUpdateRecord in actors/telemetry/records.hpp.
  stage @0 :Int32;
  update @1 :Int32;
  updates @2 :Int32;
  version @3 :UInt64;
  rewardMean @4 :Float64;
  passRate @5 :Float64;
  formatRate @6 :Float64;
  responseTokensMean @7 :Float64;
  signalShare @8 :Float64;
  objective @9 :Float64;
  entropy @10 :Float64;
  klBehaviour @11 :Float64;
  klReference @12 :Float64;
  clipFractionLow @13 :Float64;
  clipFractionHigh @14 :Float64;
  clipFractionDual @15 :Float64;
  ratioMean @16 :Float64;
  ratioMin @17 :Float64;
  ratioMax @18 :Float64;
  effectiveSampleSize @19 :Float64;
  gradientNorm @20 :Float64;
  learningRate @21 :Float64;
  logProbGapMean @22 :Float64;
  logProbGapMax @23 :Float64;
  waitSeconds @24 :Float64;
  trainSeconds @25 :Float64;
  logProbGapTokens @26 :UInt64;
  trainedTokens @27 :UInt64;
  trainedRollouts @28 :UInt64;
  trainedGroups @29 :UInt64;
  lagHistogram @30 :List(UInt64);
  refused @31 :Bool;
  weightsDigest @32 :Text;
}

struct SupervisedRecord {
  # A reporting step of a supervised stage.
  stage @0 :Int32;
  update @1 :Int32;
  updates @2 :Int32;
  loss @3 :Float64;
  learningRate @4 :Float64;
  gradientNorm @5 :Float64;
  positionsPerSecond @6 :Float64;
  hasGateShare @7 :Bool;
  gateShare @8 :Float64;
  gate @9 :Float64;
  gateLimit @10 :Int32;
}

struct LearnerOutcome {
  # How a stage ended in the learner.
  version @0 :UInt64;        # Of the weights it ended with.
  updates @1 :Int32;
  refusedUpdates @2 :Int32;
  gapSum @3 :Float64;        # Log-prob gap in nats, over gapTokens tokens.
  gapMax @4 :Float64;
  gapTokens @5 :UInt64;
  loss @6 :Float64;
  hasGateShare @7 :Bool;
  gateShare @8 :Float64;
  failure @9 :Text;
  stopped @10 :Bool;
  busySeconds @11 :Float64;  # Of the stage.
  idleSeconds @12 :Float64;
}

interface LearnerPost {
  enlist @0 (site :LearnerSite, weights :Roles.WeightSource, address :Text) -> ();
  # Offers to learn. Once per join. A broadcaster reaches the gate of this process at `address`, "host:port"; empty: it
  # has none.
  report @1 (facts :Roles.SiteFacts) -> ();
  trained @2 (sequence :UInt64, record :UpdateRecord) -> ();
  # Sequences of both kinds of record ascend by one in a cast; one that came before is taken as heard.
  supervised @3 (sequence :UInt64, record :SupervisedRecord) -> ();
  ended @4 (cast :UInt64, outcome :LearnerOutcome) -> ();
  show @5 (sequence :UInt64, rollout :Shown.ShownRollout) -> ();
  # A rollout of an update, before its record. Sequences of their own ascend in a cast, with gaps where some were left out;
  # one that came before is taken as heard.
}

interface LearnerSite {
  begin @0 (sheet :Roles.CallSheet, batches :BatchSource) -> ();
  # Learn in this stage. Without batches it is a supervised one. After a lost link the same cast goes on.
  stop @1 () -> ();
  # Ends the stage after the update under way.
  dismiss @2 (reason :Text) -> ();
}
