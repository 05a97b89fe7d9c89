@0xcba299fd1b7bbfc2;
# A rollout of an update, to be looked at: written by the learner, read by who shows it.

using Cxx = import "/capnp/c++.capnp";
using Rollouts = import "/messages/rollout.capnp";
$Cxx.namespace("troupe::wire");

struct ShownRollout {
  id @0 :UInt64;             # This and the next four as in Rollout.
  promptUid @1 :UInt64;
  ticket @2 :UInt64;
  index @3 :UInt32;
  attempt @4 :UInt32;
  stage @5 :Int32;           # Index in the config. REQUIRES: not negative.
  update @6 :Int32;          # The one that used it. REQUIRES: not negative.
  trainedAt @7 :UInt64;      # Policy version.
  updateRefused @8 :Bool;    # Nothing was learnt from it.
  tokens @9 :List(Int32);
  # The first of prompt and completion. REQUIRES: 1 to 2048, none negative.
  promptTokens @10 :UInt32;  # So many of them are of the prompt. REQUIRES: <= tokens.size.
  completionTokens @11 :UInt32;  # All there were, shown or not. REQUIRES: >= logProbs.size.
  logProbs @12 :List(Float32);   # As Rollout's. REQUIRES: size == tokens.size - promptTokens.
  learnerLogProbs @13 :List(Float32);
  # The learner's own, of the first tokens, as far as they were measured. REQUIRES: finite, no more than logProbs.
  versions @14 :List(Rollouts.VersionRun);
  # REQUIRES: counts add up to completionTokens; versions ascend.
  truncated @15 :Bool;       # As Rollout's.
  generator @16 :Text;       # Name of the generator. REQUIRES: at most 256 bytes.
  verdict @17 :Rollouts.Verdict;
  # REQUIRES: verdict.rollout == id; names and reasons of at most 256 and 4096 bytes.
}
