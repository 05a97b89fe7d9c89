@0xe7b31f5c90d2468b;
# The ranks of one learner, each a process of its own.
#
# Rank r reaches rank r + 1, the last one rank 0, over TLS; what follows RankHello and RankWelcome on such a connection are
# the bytes of a ring (gpu/transport/ring_communicator.hpp). Over one more connection of each to rank 0 come one RankAccord and
# then RankTasks, each after its size in bytes (8 of them, little endian). Of two ranks rank 1 dials, and the ring is one
# connection. Ranks that agree on NCCL leave their ring idle: its connections then tell of a rank that is lost.

using Cxx = import "/capnp/c++.capnp";
using Messages = import "/messages/rollout.capnp";
$Cxx.namespace("troupe::wire");

const rankProtocolVersion :UInt32 = 2;
# Grows with every change that an older rank cannot read.

struct RankHello {
  # The first thing that a connection carries, from who dialled.
  protocol @0 :UInt32;       # REQUIRES: rankProtocolVersion of the other.
  rank @1 :UInt32;           # REQUIRES: the number at the end of the certificate's name, or 0 without one.
  ranks @2 :UInt32;          # REQUIRES: the other's.
  purpose @3 :Purpose;
  configDigest @4 :Text;     # REQUIRES: the other's.
  weightsDigest @5 :Text;    # Of the weights that the run begins with. REQUIRES: the other's.
  nccl @6 :NcclOffer;        # Read from who is to get tasks.

  enum Purpose {
    ring @0;
    tasks @1;
  }
}

struct NcclOffer {
  # What a rank needs to exchange by NCCL.
  version @0 :UInt32;        # Of its library, as ncclGetVersion says it. Ranks with different ones do not try.
  device @1 :Text;           # The GPU, by what is its own. Two ranks need two.
  problem @2 :Text;          # Why this rank cannot; empty: it can.
}

struct RankWelcome {
  refusal @0 :Text;          # Empty: welcome.
}

struct RankAccord {
  # How all exchange, of rank 0 once all have come.
  union {
    ring @0 :Void;
    nccl @1 :Data;           # The unique id of their group. REQUIRES: 128 bytes.
    refusal @2 :Text;        # They cannot as the config wants it, and the run ends.
  }
  why @3 :Text;              # For people.
}

struct TrainingDocument {
  tokens @0 :List(Int32);    # REQUIRES: none negative.
  firstTarget @1 :Int32;     # REQUIRES: >= 1.
}

struct TrainingRollout {
  # A graded rollout, as Messages.Rollout.
  id @0 :UInt64;
  tokens @1 :List(Int32);    # REQUIRES: none negative.
  promptLength @2 :UInt32;   # REQUIRES: 0 < promptLength <= tokens.size.
  logProbs @3 :List(Float32);    # REQUIRES: size == tokens.size - promptLength.
  versions @4 :List(Messages.VersionRun);   # REQUIRES: counts add up to logProbs.size.
  reward @5 :Float32;
}

struct RankTask {
  # What all ranks do next. What the config says is not repeated.
  union {
    begin :group {           # A stage.
      keepOptimizer @0 :Bool;
    }
    supervised :group {      # One update.
      documents @1 :List(TrainingDocument);
      learningRate @2 :Float32;
      weightDecay @3 :Float32;
    }
    policy :group {          # One update, of an rl stage.
      groups @4 :List(List(TrainingRollout));
      measured @5 :List(MeasuredRollouts);
      rate @6 :Float32;
      decay @7 :Float32;
      version @8 :UInt64;    # Of the weights before it. A rank keeps them for what names them later.
      stalenessBound @9 :UInt64;
      hasReference @10 :Bool;
      referenceVersion @11 :UInt64;   # Of the weights that the KL penalty is taken against.
    }
    over @12 :Text;          # The run; why, for people.
  }
}

struct MeasuredRollouts {
  # Those whose log-probs are compared with the generator's, under the version that sampled them.
  version @0 :UInt64;        # REQUIRES: the task's, or that of a policy task before it in the stage.
  rollouts @1 :List(TrainingRollout);
}
