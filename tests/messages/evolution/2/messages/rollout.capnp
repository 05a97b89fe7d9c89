@0xd3c5a1f07b9e2c41;
# What travels between ledger, generators, verifiers and the replay buffer.
#
# A Ticket is the right to generate one group. Each of its rollouts becomes a Rollout, written once by a
# generator; a verifier adds a Verdict; the replay buffer accounts for all of them by (ticket, index, attempt).

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::wire");

struct VersionRun {
  # Run-length coding of the policy version per completion token.
  version @0 :UInt64;
  count @1 :UInt32;          # REQUIRES: > 0.
}

struct PartialRollout {
  # What a generator that left had sampled of a rollout: another goes on from there, as if it had sampled all of it.
  index @0 :UInt32;          # Which rollout of the group.
  tokens @1 :List(Int32);    # Of the completion. REQUIRES: none negative. None: not begun.
  logProbs @2 :List(Float32);    # As Rollout's. REQUIRES: one per token.
  versions @3 :List(VersionRun); # As Rollout's.
}

struct Ticket {
  # The right, and the duty, to generate rollouts of one prompt.
  id @0 :UInt64;             # Ascends by one in the order of granting, from 0 in each stage.
  attempt @1 :UInt32;        # 0, or how often the ticket was issued again after its holder was lost.
  promptUid @2 :UInt64;      # Hash of the prompt's text and source.
  promptTokens @3 :List(Int32);  # REQUIRES: not empty, none negative.
  indices @4 :List(UInt32);  # Which rollouts of the group to generate. REQUIRES: not empty, ascending, < groupSize.
  groupSize @5 :UInt32;
  minVersion @6 :UInt64;     # Oldest policy version that may sample its tokens: those of a batch trained at v need v - eta.
  parts @7 :List(PartialRollout);
  # What there is of them already, each sampled with minVersion or newer. REQUIRES: indices ascend and are among
  # `indices`; none without tokens.
}

struct Rollout {
  # One sampled completion, written once by a generator and never changed afterwards.
  id @0 :UInt64;             # Hash of (prompt uid, ticket, index): the same for every attempt. Key of its random draws.
  ticket @1 :UInt64;
  index @2 :UInt32;          # Which rollout of the group.
  attempt @3 :UInt32;        # The ticket's.
  promptUid @4 :UInt64;
  tokens @5 :List(Int32);    # Prompt followed by completion; ids of the run's tokenizer. REQUIRES: none negative.
  promptLength @6 :UInt32;   # tokens[0 .. promptLength) is the prompt. REQUIRES: 0 < promptLength < tokens.size.
  logProbs @7 :List(Float32);
  # Nats, one per completion token, under the sampling distribution after banned tokens and temperature.
  # REQUIRES: size == tokens.size - promptLength; finite; <= 0 up to rounding.
  versions @8 :List(VersionRun);
  # REQUIRES: counts add up to logProbs.size; versions ascend.
  truncated @9 :Bool;        # Ended by the length limit, not by a stop token.
  generator @10 :Text;       # Name of the generator.
}

struct Verdict {
  # What a verifier found. A failure of ours is `unverifiable` and never a reward of 0.
  enum Outcome { pass @0; fail @1; unverifiable @2; }
  rollout @0 :UInt64;        # Rollout.id
  outcome @1 :Outcome;
  reward @2 :Float32;        # Weighted sum of the parts. REQUIRES: finite.
  accuracy @3 :Float32;      # REQUIRES: finite, 0 .. 1.
  format @4 :Float32;        # REQUIRES: finite, 0 .. 1.
  reason @5 :Text;           # For people: why failed or unverifiable.
  verifier @6 :Text;         # Name of the verifier.
}
