@0xb6d07c1e94f3a825;
# What each role may ask of the others. A peer's certificate names its role, and `Gate.join` (gate.capnp) answers with
# exactly the post of that role. Holding a capability is the permission: there is no other check.
#
#   generator's process                      the process of director and replay buffer
#   GeneratorSite  <-- begin, take, end ---  (a stand-in actor per generator)
#                  --- grant, notice ----->  TicketSource      rights to generate, and what became of them
#                  --- next -------------->  WeightSource      newest weights, written into the caller's WeightSink
#
#   broadcaster's process, if it is apart
#   BroadcasterSite <-- begin, end --------  (a stand-in actor)
#                  --- next -------------->  WeightSource      the newest weights, handed on to generators; with a learner
#                                                              that has a gate, they come from there
#                  <-- next ---------------  WeightSource at its own gate, of a generator's process
#
#   another generator's process, with broadcaster.relay
#                  <-- next ---------------  WeightSource at its own gate, of a generator's process
#
#   verifier's process
#   VerifierSite   <-- begin, join, end ---  (a stand-in actor per verifier)
#                  --- take -------------->  RolloutSource     rollouts of one generator
#                  --- append ------------>  VerdictSink       rollouts with their verdicts
#
# Every call may be repeated after a lost link: grant by its sequence, rollouts by their id, notices by (ticket, index,
# attempt), weights by their version.

using Cxx = import "/capnp/c++.capnp";
using Messages = import "/messages/rollout.capnp";
using Weights = import "/messages/weights.capnp";
$Cxx.namespace("troupe::wire");

struct CallSheet {
  # What a role is cast for.
  cast @0 :UInt64;           # Changes with every casting; the same after a lost link means: go on where you were.
  stage @1 :UInt32;          # Index of the rl stage in the config.
  firstVersion @2 :UInt64;   # Policy version the stage begins with; older ones are of no use in it.
}

struct SiteFacts {
  # What a process says about itself, about once a second.
  host @0 :Text;
  processId @1 :UInt32;
  version @2 :UInt64;        # Policy version held.
  hasVersion @3 :Bool;
  inFlight @4 :UInt32;       # Rollouts being sampled, or held until the replay buffer has them.
  tokens @5 :UInt64;         # Sampled since the process started; a verifier: rollouts graded; a broadcaster: versions
                             # handed to generators; a learner: trained tokens.
  tokensPerSecond @6 :Float64;   # Lately.
  busySeconds @7 :Float64;   # Of the stage.
  idleSeconds @8 :Float64;
  phase @9 :Text;            # What it is at; empty: it has not said.
}

interface GeneratorPost {
  enlist @0 (site :GeneratorSite, relayPort :UInt16) -> ();
  # Offers to generate. Once per join. relayPort: of the gate at which other generators may take the weights that it
  # holds, on the host that this link comes from; 0: it has none.
  report @1 (facts :SiteFacts) -> ();
  leave @2 () -> ();
  # The process has handed over what was unfinished, answers `take` with nothing once it holds nothing, and goes once
  # this answers.
}

interface GeneratorSite {
  begin @0 (sheet :CallSheet, tickets :TicketSource, weights :WeightSource, weightsAt :Text, relay :Text) -> ();
  # Be a generator of this stage. After a lost link the same cast goes on with the new capabilities. Weights come from
  # the gate at `weightsAt`, which is that of the generator called `relay`, or where that is empty the broadcaster's; from
  # `weights` while it is away for long, or where weightsAt is empty: there is none.
  take @1 (count :UInt32, acknowledged :List(UInt64)) -> (rollouts :List(Messages.Rollout));
  # Finished rollouts, oldest first, each until it is acknowledged; none after a while, so ask again.
  end @2 () -> (sampledTokens :UInt64, promptTokens :UInt64, rollouts :UInt64, busySeconds :Float64, idleSeconds :Float64);
  # The stage is over: what is unfinished is given up and accounted for by notices before this answers.
  dismiss @3 (reason :Text) -> ();
  # The run is over.
  weightsAt @4 (address :Text, relay :Text) -> ();
  # Weights come from there from now on, as in begin.
}

struct RolloutNotice {
  # What became of a rollout: finished, abandoned or handed over.
  ticket @0 :UInt64;
  index @1 :UInt32;
  attempt @2 :UInt32;
  tokens @3 :UInt64;
  abandoned @4 :Bool;
  part @5 :Messages.PartialRollout;
  # There only if handed over, by who leaves. REQUIRES: not abandoned; part.index == index; part.tokens.size == tokens.
}

interface TicketSource {
  grant @0 (sequence :UInt64, count :UInt32) -> (tickets :List(Messages.Ticket));
  # Answers when at least one ticket may be granted; none after a while, so ask again with the next sequence. The same
  # sequence again gives the same tickets.
  notice @1 (notices :List(RolloutNotice)) -> ();
}

interface BroadcasterPost {
  enlist @0 (site :BroadcasterSite, address :Text) -> ();
  # Offers to hand weights on to generators, who reach this process's gate at `address`, "host:port". Once per join.
  report @1 (facts :SiteFacts) -> ();
}

interface BroadcasterSite {
  begin @0 (sheet :CallSheet, weights :WeightSource, weightsAt :Text) -> ();
  # Weights come from the learner's gate at `weightsAt`, and where there is none, or while it is away, from `weights`.
  end @1 () -> ();
  dismiss @2 (reason :Text) -> ();
  weightsAt @3 (address :Text) -> ();
  # The learner's gate is at this address from now on.
}

struct WeightReceiver {
  # What a receiver is able to make use of; what it leaves out is not tried with it.
  machine @0 :Text;          # Boot id and host name: it can map memory of this machine. Empty: it does not.
  user @1 :UInt32;           # Its user on that machine.
  base @2 :Data;             # SHA-256 of the version it holds, to which it can apply changes. Empty: none.
  nccl @3 :Text;             # Its device, at which NCCL reaches it; one device is not both ends. Empty: it does not.
}

interface WeightSource {
  next @0 (atLeast :UInt64, sink :WeightSink, receiver :WeightReceiver) -> (sent :Bool);
  # Writes the newest version, if it is at least that, into the sink; not sent: none yet, ask again.
  digest @1 (version :UInt64) -> (sha256 :Data, digest :Text, newest :UInt64);
  # Of that version, as in its header, as this process has seen for itself: who had it from elsewhere compares. Waits for
  # a version that is still to come. Empty: it has not come for a while, or it was passed over or is too old.
  # newest: the newest version seen here.
}

interface WeightSink {
  begin @0 (header :Weights.WeightsHeader) -> ();
  # Refused if the header is not of the receiver's model. Then come `map`, or `nccl`, or `change` and buckets, or buckets, and
  # `commit`.
  bucket @1 (offset :UInt64, bytes :Data, digest :Data) -> stream;
  # offset: in bytes, ascending without holes. digest: XXH3-128 of the bytes, 16 bytes, big endian.
  commit @2 () -> ();
  map @3 (socket :Text, token :Data) -> (refusal :Text);
  # The values are sealed memory of this machine, handed out at that abstract socket to who shows the token
  # (messages/wire/memory_door.hpp). refusal: why it was not mapped, so another way follows; empty: it was.
  nccl @5 (id :Data) -> (refusal :Text);
  # All values come by NCCL, from rank 0 of a group of two with that unique id; the receiver is rank 1, and answers once
  # it has them, or with why it has not, so another way follows. The same id again: the group goes on.
  change @4 (base :Data, bytes :UInt64) -> ();
  # The buckets are that many bytes of changes (messages/weight_delta.hpp) to the version with the SHA-256 `base`.
}

interface VerifierPost {
  enlist @0 (site :VerifierSite) -> ();
  report @1 (facts :SiteFacts) -> ();
  leave @2 () -> ();
  # The process goes for good. What it was lent is lent to others.
}

interface VerifierSite {
  begin @0 (sheet :CallSheet, verdicts :VerdictSink) -> ();
  join @1 (generator :Text, source :RolloutSource) -> ();
  # Work for this generator from now on, until `take` fails.
  end @2 () -> ();
  dismiss @3 (reason :Text) -> ();
}

interface RolloutSource {
  take @0 (count :UInt32, acknowledged :List(UInt64)) -> (rollouts :List(Messages.Rollout));
}

struct GradedRollout {
  rollout @0 :Messages.Rollout;
  verdict @1 :Messages.Verdict;
}

interface VerdictSink {
  append @0 (graded :List(GradedRollout)) -> (acknowledged :List(UInt64));
  # Rollouts of the newest `take` from each generator. What was not lent is not acknowledged.
}

struct PeerStatus {
  name @0 :Text;
  role @1 :Text;
  address @2 :Text;
  connected @3 :Bool;
  facts @4 :SiteFacts;
  hasFacts @5 :Bool;
  lag @6 :UInt64;            # Newest published version minus the one held.
  joins @7 :UInt64;          # How often it joined.
  link @8 :Text;             # "TLSv1.3 TLS_AES_256_GCM_SHA384", or "plain".
  secondsSinceJoined @9 :Float64;
}

interface ObserverPost {
  status @0 () -> (run :Text, stage :Text, update :UInt64, updates :UInt64, version :UInt64, seconds :Float64,
                   peers :List(PeerStatus));
}
