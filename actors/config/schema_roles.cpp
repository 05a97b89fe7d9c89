#include "actors/config/schema_rows.hpp"

namespace troupe::config {

Section director_section() {
  using C = DirectorConfig;
  return section<C>(
      "director", "Casts the actors, runs the stages, watches and restarts.", &Config::director,
      {
          {"request-deadline-seconds", &C::request_deadline_seconds, positive(86400), "seconds",
           "Longest wait for the answer to a request between actors."},
          {"stall-deadline-seconds", &C::stall_deadline_seconds, positive(86400), "seconds",
           "With no progress anywhere for this long the run ends with an error."},
          {"restart-limit", &C::restart_limit, between(0, 1000000), "restarts",
           "Restarts of a generator or verifier before the run ends."},
      });
}

Section generator_section() {
  using C = GeneratorConfig;
  return section<C>(
      "generator", "Samples rollouts with the newest weights it has.", &Config::generator,
      {
          {"count", &C::count, between(1, 256), "generators",
           "Generators, each with an engine and a KV cache of its own."},
          {"slots", &C::slots, between(1, 65536), "rollouts",
           "Rollouts sampled at once by one generator; own kernels are at full speed from 16 on, "
           "LibTorch "
           "from about 256."},
          {"threads", &C::threads, between(0, 4096), "threads",
           "Computing threads of one generator; 0: its share of run.threads."},
          {"max-new-tokens", &C::max_new_tokens, between(1, 1048576), "tokens",
           "Longest response in training; a response that reaches it is cut."},
          {"temperature", &C::temperature, positive(100), "",
           "Divides the logits; the learner uses the same, so ratios compare like with like."},
          {"top-p", &C::top_p, range(0, 1, true), "",
           "Samples only from the most probable tokens of this total mass; 1: from all."},
          {"top-k", &C::top_k, between(0, 1048576), "tokens",
           "Samples only from the k most probable tokens; 0: from all."},
          {"cache-after-swap", &C::cache_after_swap, one_of({"keep", "recompute"}), "",
           "What new weights do to the KV cache of rollouts under way: keep goes on with the old "
           "entries, recompute makes them anew."},
          {"engine", &C::engine, one_of({"auto", "torch", "cpu"}), "",
           "What computes: cpu, own kernels whose rollouts do not depend on their company, on the "
           "CPU whatever run.device says; torch, LibTorch; auto, the own kernels on a CPU up to "
           "200 million parameters, else LibTorch."},
      });
}

Section verifier_section() {
  using C = VerifierConfig;
  return section<C>(
      "verifier",
      "Grades rollouts by rules: reward = accuracy-reward * accuracy + format-reward * format.",
      &Config::verifier,
      {
          {"count", &C::count, between(1, 256), "verifiers", "Verifiers working side by side."},
          {"accuracy-reward", &C::accuracy_reward, between(-1000, 1000), "",
           "Reward of a right answer in the right format."},
          {"format-reward", &C::format_reward, between(-1000, 1000), "",
           "Reward of <think>...</think><answer>...</answer>, right or wrong; above 0.1 a weak "
           "base learns the format alone."},
      });
}

Section replay_buffer_section() {
  using C = ReplayBufferConfig;
  return section<C>(
      "replay-buffer", "Collects graded rollouts into groups and groups into batches.",
      &Config::replay_buffer,
      {
          {"batch", &C::batch, between(1, 65536), "groups", "Groups, that is prompts, per update."},
          {"group-size", &C::group_size, between(1, 4096), "rollouts",
           "Rollouts per prompt; their rewards are compared with each other."},
          {"staleness-bound", &C::staleness_bound, between(0, 1024), "versions",
           "Largest lag (eta): no token is trained that was sampled more than this many versions "
           "ago. 0: generation and training take turns; 1 or 2: they overlap."},
          {"order", &C::order, one_of({"ticket", "completion"}), "",
           "Order of groups in batches: as their tickets were issued (short rollouts get no head "
           "start) or as they complete."},
          {"refill-zero-signal", &C::refill_zero_signal, any(), "",
           "Replace groups of equal reward by new ones until the batch is full (dynamic sampling, "
           "DAPO); false: drop them and train on the rest."},
          {"refill-limit", &C::refill_limit, between(0, 1000000), "batches",
           "refill-zero-signal: most groups replaced for one batch, in batches; then it is trained "
           "as it is."},
          {"group-deadline-seconds", &C::group_deadline_seconds, positive(86400), "seconds",
           "A group that is not complete by then is dropped and counted."},
      });
}

Section learner_section() {
  using C = LearnerConfig;
  using O = gpu::ObjectiveConfig;
  return section<C>(
      "learner", "Turns a batch into one update. Learning rates belong to the stages.",
      &Config::learner,
      {
          {"threads", &C::threads, between(0, 4096), "threads",
           "Computing threads of the learner; 0: its share of run.threads."},
          {"ranks", &C::ranks, between(1, 64), "ranks",
           "Each has weights of its own and takes its part of every batch, by tokens. They are "
           "threads, which learner.threads are shared out over, or processes "
           "(network.learner-ranks), with a GPU each or on the CPU. A run is a function of this "
           "number, but only in the last bits."},
          {"shard-optimizer", &C::shard_optimizer, any(), "",
           "Every rank holds the optimizer's state of its part of the weights only (ZeRO-1); the "
           "result is the same to the bit."},
          {"rank-deadline-seconds", &C::rank_deadline_seconds, positive(86400), "seconds",
           "A rank that the others have waited for so long is lost: the update is not made, and "
           "the "
           "run ends with the weights of before."},
          {"communicator", &C::communicator, one_of({"auto", "ring", "nccl"}), "",
           "How ranks that are processes sum gradients. ring: over their links; nccl: by NCCL "
           "(broadcaster.nccl-library), which is not encrypted, each on a GPU of its own, or the "
           "run does not begin; auto: by NCCL where all ranks can. The log says which, and why."},
          {"tokens-per-micro-batch", &C::tokens_per_micro_batch, between(1, 1 << 30), "tokens",
           "Most tokens in one forward and backward pass; a batch of more is accumulated. Not for "
           "the result, but for speed and memory: few stay in the caches of a CPU, a GPU wants "
           "many."},
          {"advantage", objective_member<&O::advantage>(), one_of({"grpo", "dr-grpo", "batch"}), "",
           "grpo: (reward - group mean) / group deviation; dr-grpo: not divided; batch: deviation "
           "of the whole batch."},
          {"normaliser", objective_member<&O::normaliser>(),
           one_of({"token", "sequence", "constant"}), "",
           "What the loss is averaged over: all tokens (DAPO), each rollout first (GRPO), or a "
           "constant length, generator.max-new-tokens (Dr. GRPO)."},
          {"correction", objective_member<&O::correction>(), one_of({"ppo", "decoupled", "none"}),
           "",
           "How staleness is corrected: ppo clips the ratio to the log-probs recorded by the "
           "generator; decoupled clips against the policy before the update and weighs by a capped "
           "ratio; none ignores the recorded log-probs."},
          {"clip-low", objective_member<&O::clip_low>(), below_one(), "",
           "The ratio new / old is kept above 1 - clip-low."},
          {"clip-high", objective_member<&O::clip_high>(), between(0, 100), "",
           "The ratio new / old is kept below 1 + clip-high; higher than clip-low leaves room to "
           "explore (DAPO)."},
          {"dual-clip", objective_member<&O::dual_clip>(), between(0, 1000), "",
           "Bound of the ratio where the advantage is negative, above 1; 0: none."},
          {"importance-cap", objective_member<&O::importance_cap>(), range(1, 1000), "",
           "correction = \"decoupled\": cap of the weight proximal / behaviour."},
          {"kl-weight", objective_member<&O::kl_weight>(), between(0, 100), "",
           "Weight of the KL divergence (k3) to the weights at the start of the stage; 0: no "
           "reference pass."},
          {"entropy-weight", objective_member<&O::entropy_weight>(), between(-10, 10), "",
           "Weight of the entropy bonus."},
          {"minibatches", objective_member<&O::minibatches>(), between(1, 1024), "steps",
           "Optimizer steps per batch."},
          {"beta1", adamw_member<&gpu::AdamW::beta1>(), below_one(), "",
           "AdamW: decay of the mean of the gradient."},
          {"beta2", adamw_member<&gpu::AdamW::beta2>(), below_one(), "",
           "AdamW: decay of the mean of its square."},
          {"epsilon", adamw_member<&gpu::AdamW::epsilon>(), range(1e-30, 1), "",
           "AdamW: added to the root of the mean square."},
          {"max-gradient-norm", inside<&C::update, &gpu::UpdateConfig::max_gradient_norm>(),
           between(0, 1e6), "", "A gradient of a larger L2 norm is scaled down to it; 0: never."},
          {"refused-updates-limit", &C::refused_updates_limit, between(1, 1000000), "updates",
           "Updates in a row that were refused for a number that is not finite before the run "
           "ends."},
          {"gap-rollouts", &C::gap_rollouts, between(0, 65536), "rollouts",
           "Rollouts per update whose log-probs are computed again to measure the gap to the "
           "generator; 0: not measured."},
      });
}

Section broadcaster_section() {
  using C = BroadcasterConfig;
  return section<C>(
      "broadcaster", "Hands each version of the weights to generators in other processes.",
      &Config::broadcaster,
      {
          {"carrier", &C::carrier, one_of({"auto", "stream", "memfd", "nccl"}), "",
           "auto: processes of one machine and user share memory, others get a stream over their "
           "link, or versions go from GPU to GPU by NCCL, which is not encrypted, where two "
           "processes compute on two; stream: all goes by stream; memfd: memory is offered to all, "
           "as containers may not know that they share a machine, and nothing goes by NCCL; nccl: "
           "as auto, but NCCL before memory, and the log says where it is missing."},
          {"nccl-library", &C::nccl_library, any(), "",
           "NCCL's library, as the dynamic loader finds it: for weights, and for the ranks of a "
           "learner."},
          {"nccl-deadline-seconds", &C::nccl_deadline_seconds, positive(3600), "seconds",
           "For two processes to meet by NCCL, and for each 32 MiB; then the next carrier is "
           "taken, and NCCL tried again after 30 s."},
          {"delta", &C::delta, one_of({"auto", "always", "never"}), "",
           "What goes by stream is only what changed since the version before: auto where that is "
           "at most half of the bytes, always, or never."},
          {"relay", &C::relay, one_of({"off", "tree"}), "",
           "tree: generators in other processes hand each version on, so that whoever publishes "
           "it sends it fan-out times however many there are; each listens on network.listen (own: "
           "any free port), and on one machine one of them receives for all."},
          {"fan-out", &C::fan_out, between(1, 64), "hosts",
           "How many hosts a version goes to from each that has it, with relay = tree."},
      });
}

}  // namespace troupe::config
