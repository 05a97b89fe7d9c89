@0xd1f4c88a6b0e97c3;
# A director whose replay buffer is in a process of its own.
#
#   director's process                    the replay buffer's process
#   --- begin, stop, close, note ------>  DirectorPost      (a stand-in actor, which leads the conductor)
#   --- news -------------------------->  DirectorPost      all that happened in the run, by number
#   --- rollouts ---------------------->  DirectorPost      those that are shown token by token, by numbers of their own
#   <-- next ---------------------------  WeightSource      the newest weights, to be evaluated and saved
#
# The replay buffer's process keeps the news of the run: a director that comes anew reads them from 0 and knows what the one
# before it knew, but for the oldest of very many records, events and rollouts. Every call may be repeated: a stage is begun once, a note
# is kept once, news and rollouts are read by number.

using Cxx = import "/capnp/c++.capnp";
using Roles = import "/messages/wire/roles.capnp";
using Shown = import "/messages/shown_rollout.capnp";
using Training = import "/messages/wire/training.capnp";
$Cxx.namespace("troupe::wire");

struct LengthCount {
  upTo @0 :UInt64;           # Tokens, the upper bound of a bucket; 0: their length is not known.
  rollouts @1 :UInt64;
}

struct DropCount {
  reason @0 :Text;
  rollouts @1 :UInt64;
  tokens @2 :UInt64;
  lengths @3 :List(LengthCount);
}

struct LedgerRecord {
  # Fields as LedgerRecord in actors/telemetry/records.hpp.
  openRollouts @0 :UInt64;
  generatedRollouts @1 :UInt64;
  trainedRollouts @2 :UInt64;
  bufferedRollouts @3 :UInt64;
  inFlightRollouts @4 :UInt64;
  generatedTokens @5 :UInt64;
  trainedTokens @6 :UInt64;
  bufferedTokens @7 :UInt64;
  inFlightTokens @8 :UInt64;
  dropped @9 :List(DropCount);
  trainedLengths @10 :List(LengthCount);
  ticketsGranted @11 :UInt64;
  ticketsReissued @12 :UInt64;
  duplicateRollouts @13 :UInt64;
  handedOverRollouts @14 :UInt64;
  handedOverTokens @15 :UInt64;
  maxLag @16 :UInt64;
  tokensBeyondBound @17 :UInt64;
  imbalanceRollouts @18 :Int64;
  imbalanceTokens @19 :Int64;
}

struct ActorTime {
  name @0 :Text;
  busySeconds @1 :Float64;   # Of the stage.
  idleSeconds @2 :Float64;
  phase @3 :Text;            # What it is at; empty: it has not said.
  version @4 :UInt64;        # Policy version held, of an actor in another process.
  hasVersion @5 :Bool;
  isPeer @6 :Bool;           # It has a process of its own, which joined this one.
  away @7 :Bool;             # A peer's link is lost.
}

struct StageEnd {
  # How a stage ended, but for the weights: those are fetched by their version.
  stage @0 :UInt32;          # Index in the config.
  hasWeights @1 :Bool;       # Not: the run still has those that it began with.
  version @2 :UInt64;        # Of the newest weights.
  failure @3 :Text;          # Empty: all updates made, or stopped when asked.
  kind @4 :Text;
  name @5 :Text;
  wallSeconds @6 :Float64;
  updates @7 :Int32;
  refusedUpdates @8 :Int32;
  ledger @9 :LedgerRecord;   # Of an rl stage.
  logProbGapMean @10 :Float64;   # Nats.
  logProbGapMax @11 :Float64;
  actors @12 :List(ActorTime);
  generatorTokensPerSecond @13 :Float64;   # Per busy second.
  learnerTokensPerSecond @14 :Float64;
  loss @15 :Float64;         # Of a supervised stage, nats per target token.
  hasGateShare @16 :Bool;
  gateShare @17 :Float64;
}

struct Sample {
  prompt @0 :Text;
  response @1 :Text;
  answer @2 :Text;
  outcome @3 :Text;
  reward @4 :Float64;
}

struct EvaluationNote {
  # What a director measured: kept for the one that may come after it.
  stage @0 :UInt32;
  place @1 :Place;
  version @2 :UInt64;        # This and what follows: fields as EvaluationRecord in actors/telemetry/records.hpp.
  update @3 :Int32;
  prompts @4 :Int32;
  passRateSampled @5 :Float64;
  passRateGreedy @6 :Float64;
  formatRate @7 :Float64;
  meanResponseTokens @8 :Float64;
  seconds @9 :Float64;
  rewardMean @10 :Float64;
  samples @11 :List(Sample);

  enum Place {
    before @0;               # Of the stage's first update.
    during @1;
    after @2;
  }
}

struct News {
  number @0 :UInt64;         # Ascending; what newer news replaced, or was told long ago, is left out.
  seconds @1 :Float64;       # When, since the run's start.
  union {
    begun @2 :UInt32;        # A stage, by its index.
    trained @3 :Training.UpdateRecord;
    supervised @4 :Training.SupervisedRecord;
    ledger @5 :LedgerRecord;
    published :group {       # The weights of an update of the stage that is on.
      update @6 :Int32;
      version @7 :UInt64;
    }
    ended @8 :StageEnd;      # A stage.
    evaluated @9 :EvaluationNote;
    over @10 :Text;          # The conductor has ended; nothing more will come. Why, for people.
    happened :group {        # An event of the replay buffer's process: somebody joined, was lost, ...
      kind @11 :Text;
      text @12 :Text;        # Begins with the name of the process.
    }
  }
}

struct NumberedRollout {
  number @0 :UInt64;         # Ascending from 0; those that were left out, or are too old, leave gaps.
  rollout @1 :Shown.ShownRollout;
}

interface DirectorPost {
  begin @0 (stage :UInt32) -> ();
  stop @1 () -> ();
  # Ends the stage after the update under way.
  close @2 (reason :Text) -> ();
  # The run is over: what is under way ends at once, and so does the conductor.
  note @3 (evaluation :EvaluationNote) -> ();
  pause @4 (on :Bool) -> ();
  news @5 (from :UInt64, wait :Bool) -> (news :List(News), end :UInt64, seconds :Float64, paused :Bool,
                                         actors :List(ActorTime), shownEnd :UInt64, hasAtVerifiers :Bool,
                                         atVerifiers :UInt64);
  # Some of the news with at least that number, oldest first. With `wait` answers when there are any; none after a while,
  # so ask again. end: above all numbers so far. seconds: since the run's start. actors: all there are, and how they spend the
  # stage; who is not named has left. atVerifiers: rollouts that are lent to them.
  # shownEnd: above the numbers of all rollouts shown so far, of which there are those of each update that is told of.
  weights @6 () -> (source :Roles.WeightSource);
  report @7 (facts :Roles.SiteFacts) -> ();
  rollouts @8 (from :UInt64) -> (rollouts :List(NumberedRollout));
  # Some of those that are shown with at least that number, oldest first. None: there is none.
}
