#include "actors/config/schema.hpp"

#include <functional>
#include <limits>
#include <utility>

namespace troupe::config {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Kinds kSupervised = kPretrain | kSft, kTraining = kSupervised | kRl;

/// A rule and where the key belongs, written left to right in the tables below.
struct Terms {
  Rule rule{-kInfinity, kInfinity, false, false, {}, PathKind::input_file};
  Kinds kinds = kPretrain | kSft | kRl | kEval;
  Needs needs = Needs::nothing;

  Terms in(Kinds stages) const {
    Terms result = *this;
    result.kinds = stages;
    return result;
  }
  Terms if_own(Needs what) const {
    Terms result = *this;
    result.needs = what;
    return result;
  }
  Terms own_model() const { return if_own(Needs::own_model); }
  Terms own_corpus() const { return if_own(Needs::own_corpus); }
};

Terms any() {
  return {};
}
Terms range(double least, double most, bool least_excluded = false, bool most_excluded = false) {
  return {{least, most, least_excluded, most_excluded, {}, PathKind::input_file}};
}
Terms at_least(double least) {
  return range(least, kInfinity);
}
Terms between(double least, double most) {
  return range(least, most);
}
/// (0, most]
Terms positive(double most) {
  return range(0, most, true);
}
/// [0, 1)
Terms below_one() {
  return range(0, 1, false, true);
}
Terms one_of(std::vector<std::string> choices) {
  return {{-kInfinity, kInfinity, false, false, std::move(choices), PathKind::input_file}};
}
Terms path(PathKind kind) {
  return {{-kInfinity, kInfinity, false, false, {}, kind}};
}

/// One line of a table. `member`: a pointer to a member of the section's struct, or a function from
/// the struct to the member.
template <class Owner>
struct Row {
  template <class Member>
  Row(const char* key, Member member, Terms when, const char* unit_text, const char* text)
      : name(key),
        terms(std::move(when)),
        unit(unit_text),
        comment(text),
        get([member](Owner& owner) { return slot(std::invoke(member, owner)); }) {}

  std::string name;
  Terms terms;
  std::string unit, comment;
  std::function<Slot(Owner&)> get;
};

template <class Owner>
Key make_key(const Row<Owner>& row, Kinds kinds, std::function<Owner&(Target)> owner) {
  return {row.name,
          row.terms.rule,
          kinds,
          row.terms.needs,
          row.unit,
          row.comment,
          [get = row.get, owner](Target to) { return get(owner(to)); }};
}

template <class Owner>
Section section(const char* name, const char* comment, Owner Config::*part,
                const std::vector<Row<Owner>>& rows) {
  Section result{name, comment, {}};
  for (const auto& row : rows)
    result.keys.push_back(
        make_key<Owner>(row, 0, [part](Target to) -> Owner& { return to.config.*part; }));
  return result;
}

Section stage_table(const char* comment, const std::vector<Row<StageConfig>>& rows) {
  Section result{"stage", comment, {}};
  for (const auto& row : rows)
    result.keys.push_back(make_key<StageConfig>(
        row, row.terms.kinds, [](Target to) -> StageConfig& { return *to.stage; }));
  return result;
}

gpu::ObjectiveConfig& objective(LearnerConfig& learner) {
  return learner.update.objective;
}
gpu::AdamW& adamw(LearnerConfig& learner) {
  return learner.update.adamw;
}

// A member of an inner struct, as a function of the section's struct.
template <auto Inner, auto Member>
auto inside() {
  return [](auto& owner) -> auto& {
    return std::invoke(Member, std::invoke(Inner, owner));
  };
}
template <auto Member>
auto objective_member() {
  return inside<&objective, Member>();
}
template <auto Member>
auto adamw_member() {
  return inside<&adamw, Member>();
}
template <auto Member>
auto mix_member() {
  return inside<&StageConfig::mix, Member>();
}

Section run_section() {
  using C = RunConfig;
  return section<C>(
      "run", "What the run is called, where it goes and what it computes on.", &Config::run,
      {
          {"name", &C::name, any(), "", "Name of the run; its files go to <out>/<name>."},
          {"out", &C::out, path(PathKind::output), "",
           "Folder of all runs, made when needed; starts at the folder troupe is called from."},
          {"seed", &C::seed, at_least(0), "",
           "Every random choice of the run follows from this number."},
          {"threads", &C::threads, between(0, 4096), "threads",
           "Computing threads in all, shared out among the actors; 0: as many as there are cores."},
          {"device", &C::device, any(), "",
           "auto, cpu or cuda:N; auto takes the first GPU if there is one."},
      });
}

Section model_section() {
  using C = ModelConfig;
  return section<C>(
      "model",
      "The policy: a decoder of the Llama, Qwen2 or Qwen3 family. Either path, or the shape of a "
      "model made at random from the seed.",
      &Config::model,
      {
          {"path", &C::path, path(PathKind::input_folder), "",
           "Model folder in Hugging Face layout to start from; empty: a new model of the shape "
           "below."},
          {"layers", &C::layers, between(1, 1024).own_model(), "layers",
           "Number of decoder blocks."},
          {"hidden", &C::hidden, between(2, 65536).own_model(), "elements",
           "Width of the residual stream."},
          {"heads", &C::heads, between(1, 1024).own_model(), "heads",
           "Query heads of the attention."},
          {"kv-heads", &C::kv_heads, between(1, 1024).own_model(), "heads",
           "Key and value heads; must divide heads, and heads / kv-heads query heads share one."},
          {"head-dim", &C::head_dim, between(0, 1024).own_model(), "elements",
           "Width of one head, even; 0: hidden / heads."},
          {"intermediate", &C::intermediate, between(1, 1048576).own_model(), "elements",
           "Width of the SwiGLU layer."},
          {"max-positions", &C::max_positions, between(8, 1048576).own_model(), "tokens",
           "Longest sequence, prompt and response together; sets the size of the KV cache."},
          {"rope-theta", &C::rope_theta, range(1, 1e9).own_model(), "",
           "Base of the rotary position embedding; small suits short sequences."},
          {"rms-norm-eps", &C::rms_norm_eps, positive(1).own_model(), "",
           "Added to the mean square in RMSNorm."},
          {"tied-embeddings", &C::tied_embeddings, any().own_model(), "",
           "Input and output embeddings are one matrix."},
          {"qkv-bias", &C::qkv_bias, any().own_model(), "",
           "Biases on the query, key and value projections (Qwen2)."},
          {"qk-norm", &C::qk_norm, any().own_model(), "",
           "RMSNorm of queries and keys per head (Qwen3)."},
      });
}

Section task_section() {
  using C = TaskConfig;
  return section<C>(
      "task", "What is trained on and how it is checked.", &Config::task,
      {
          {"kind", &C::kind, one_of({"addition", "jsonl"}), "",
           "addition: sums made on the fly, worked column by column; jsonl: prompts and answers "
           "from a file."},
          {"digits", &C::digits, between(1, 18), "digits",
           "Lengths of the operands, drawn with equal odds; name a length twice to double its "
           "share."},
          {"prompts", &C::prompts, path(PathKind::input_file), "",
           "jsonl: file with a training prompt and its answer per line, {\"prompt\", \"answer\"}."},
          {"held-out", &C::held_out, path(PathKind::input_file), "",
           "jsonl: file with the prompts of evaluation; empty: held-out sums of the built-in "
           "task."},
          {"shuffle", &C::shuffle, any(), "", "jsonl: a new order in each pass over the file."},
      });
}

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

Section evaluation_section() {
  using C = EvaluationConfig;
  return section<C>(
      "evaluation", "Held-out prompts, answered once sampled at temperature 1 and once greedily.",
      &Config::evaluation,
      {
          {"prompts", &C::prompts, between(1, 1000000), "prompts",
           "Held-out prompts before and after an rl stage and in an eval stage; 384 give a "
           "standard error of 2.5% at most."},
          {"every", &C::every, between(0, 1000000), "updates",
           "Updates between evaluations while an rl stage runs; 0: none."},
          {"prompts-during", &C::prompts_during, between(1, 1000000), "prompts",
           "Held-out prompts of those; 128 give a standard error of 4.5% at most."},
          {"max-new-tokens", &C::max_new_tokens, between(1, 1048576), "tokens",
           "Longest response in evaluation."},
          {"seed", &C::seed, at_least(0), "",
           "Draws the held-out prompts and samples; the same for runs to be compared."},
          {"samples-shown", &C::samples_shown, between(0, 1000), "responses",
           "Responses shown before and after."},
      });
}

Section metrics_section() {
  using C = MetricsConfig;
  return section<C>(
      "metrics",
      "The dashboard at /, Prometheus metrics at /metrics, probes at /healthz and /readyz, and "
      "what "
      "is written down.",
      &Config::metrics,
      {
          {"port", &C::port, between(0, 65535), "",
           "TCP port; 0: no server, but under troupe up, where every process takes a free one."},
          {"address", &C::address, any(), "",
           "IP address the server listens on; 0.0.0.0 makes it reachable from other machines."},
          {"progress-deadline-seconds", &C::progress_deadline_seconds, positive(86400), "seconds",
           "An actor that has been at work for so long without progress is stuck: /healthz answers "
           "503 with its name. Well above the longest update."},
          {"lineage", &C::lineage, any(), "",
           "Writes lineage.jsonl: each rollout that was trained or dropped, about 250 bytes a "
           "rollout."},
          {"tensorboard", &C::tensorboard, any(), "",
           "Writes events.out.tfevents.*, the figures of metrics.jsonl for TensorBoard, about 2 KB "
           "an update."},
          {"rollouts-per-update", &C::rollouts_per_update, between(0, 1024), "rollouts",
           "Rollouts of each update that the dashboard shows token by token, and that "
           "rollouts.jsonl keeps, up to 64 MiB."},
          {"control-token-file", &C::control_token_file, path(PathKind::input_file), "",
           "File with a secret of 16 characters or more; whoever knows it may pause and stop the "
           "run on the dashboard. Empty: the dashboard only shows."},
      });
}

template <auto Member>
auto link_limit() {
  return inside<&NetworkConfig::limits, Member>();
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

Section network_section() {
  using C = NetworkConfig;
  using L = wire::LinkLimits;
  return section<C>(
      "network",
      "More than one process: where they meet (troupe up, troupe serve) and what a link may cost.",
      &Config::network,
      {
          {"director", &C::director, any(), "",
           "host:port of the director's process, which the others dial."},
          {"replay-buffer", &C::replay_buffer, any(), "",
           "host:port of the replay buffer's process, which then everyone dials, the director too; "
           "director: it is in the director's."},
          {"learner", &C::learner, any(), "",
           "Where the learner runs: director: beside the replay buffer; apart: in its own process, "
           "which dials that; host:port: likewise, with a gate there at which a broadcaster of its "
           "own process takes each version, so that none passes through another."},
          {"broadcaster", &C::broadcaster, any(), "",
           "host:port of the broadcaster's process; director: it is beside the replay buffer."},
          {"learner-ranks", &C::learner_ranks, any(), "",
           "threads: learner.ranks are threads of the learner's process; or host:port of each "
           "rank's process, rank 0 first, with commas between. Rank 1 is the learner called "
           "learner-1, and so on."},
          {"listen", &C::listen, any(), "",
           "host:port that a process which is dialled listens on; own: that of its role, above. * "
           "is every address, port 0 any free one."},
          {"pki", &C::pki, path(PathKind::later_folder), "",
           "Folder with ca.pem, crl.pem and each process's NAME.pem and NAME.key (troupe pki)."},
          {"revocation-list", &C::revocation_list, any(), "",
           "Whom crl.pem names is refused, and it must be there. false: there is none, as with "
           "cert-manager, and a certificate is good until it ends."},
          {"insecure", &C::insecure, any(), "",
           "Plain TCP without certificates, on loopback addresses only."},
          {"lease-seconds", &C::lease_seconds, between(0, 3600), "seconds",
           "A generator's link may be lost that long before its tickets are issued again."},
          {"learner-lease-seconds", &C::learner_lease_seconds, between(0, 1e6), "seconds",
           "Likewise that of a learner apart; without a learner the run ends."},
          {"join-deadline-seconds", &C::join_deadline_seconds, positive(1e6), "seconds",
           "A stage without a generator or a verifier ends the run after that long."},
          {"away-deadline-seconds", &C::away_deadline_seconds, positive(1e6), "seconds",
           "A process that cannot reach the one that it dials ends after that long; a replay "
           "buffer apart likewise without a director."},
          {"drain-seconds", &C::drain_seconds, between(0, 3600), "seconds",
           "A generator that is asked to leave has that long to hand over what it finished."},
          {"silence-seconds", link_limit<&L::silence_seconds>(), positive(3600), "seconds",
           "A peer that completes no frame for that long is taken for dead."},
          {"heartbeat-seconds", link_limit<&L::heartbeat_seconds>(), positive(3600), "seconds",
           "Between two pings; well below silence-seconds."},
          {"call-seconds", link_limit<&L::call_seconds>(), positive(3600), "seconds",
           "Deadline of a call."},
          {"redial-first-seconds", link_limit<&L::redial_first_seconds>(), positive(3600),
           "seconds", "Pause after the first failed dial; it doubles with each one, with jitter."},
          {"redial-longest-seconds", link_limit<&L::redial_longest_seconds>(), positive(3600),
           "seconds", "Longest pause between two dials."},
          {"frame-bytes", link_limit<&L::frame_bytes>(), between(65536, 512 << 20), "bytes",
           "Largest message; a larger one ends the session."},
          {"unanswered-bytes", link_limit<&L::unanswered_bytes>(), between(65536, 1e12), "bytes",
           "Reading stops beyond that many bytes of calls that are not answered."},
          {"unsent-bytes", link_limit<&L::unsent_bytes>(), between(65536, 1e12), "bytes",
           "Reading stops beyond that many bytes of answers that the peer has not taken."},
          {"unsent-frames", link_limit<&L::unsent_frames>(), between(1, 1e9), "",
           "Likewise, counted in answers."},
          {"open-calls", link_limit<&L::open_calls>(), between(16, 1e9), "",
           "More calls that their caller has not finished end the session."},
          {"handshakes", link_limit<&L::handshakes>(), between(1, 1e6), "",
           "Connections at once that have not proven who they are."},
          {"handshake-seconds", link_limit<&L::handshake_seconds>(), positive(3600), "seconds",
           "For that proof."},
          {"sessions", link_limit<&L::sessions>(), between(1, 1e6), "",
           "Connections at once that have."},
      });
}

Section stages_section() {
  using C = StageConfig;
  using M = AdditionMix;
  return stage_table(
      "The stages, one table each, run in this order.",
      {
          {"kind", &C::kind, one_of(stage_kinds()), "",
           "pretrain and sft train on documents, rl on graded rollouts, eval only measures."},
          {"name", &C::name, any(), "",
           "Shown in the status and the report; the kind when left out."},
          {"updates", &C::updates, between(1, 100000000).in(kTraining), "updates",
           "Length of the stage."},
          {"batch-documents", &C::batch_documents, between(1, 1000000).in(kSupervised), "documents",
           "Documents per update."},
          {"documents", &C::documents, path(PathKind::input_file).in(kSupervised), "",
           "File with one {\"prompt\", \"response\"} per line; empty: the built-in corpus of sums, "
           "which the next keys describe."},
          {"documents-limit", &C::documents_limit, between(0, 10000000).in(kSft).own_corpus(),
           "documents",
           "A fixed set of this many documents, drawn from again and again; 0: endless."},
          {"digits", &C::digits, between(1, 18).in(kSupervised).own_corpus(), "digits",
           "Lengths of the operands; default: task.digits. A length named twice comes twice as "
           "often."},
          {"bare", mix_member<&M::bare>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that give the answer without any tag."},
          {"direct", mix_member<&M::direct>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that answer at once: <think></think><answer>0843</answer>."},
          {"work", mix_member<&M::work>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that work column by column, then answer."},
          {"broken", mix_member<&M::broken>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Worked documents with one tag missing. The four shares add up to 1."},
          {"step-error", mix_member<&M::step_error>(), between(0, 1).in(kSupervised).own_corpus(),
           "probability",
           "Chance that a column of a worked document is off; the error carries on."},
          {"answer-error", mix_member<&M::answer_error>(),
           between(0, 1).in(kSupervised).own_corpus(), "probability",
           "Chance that a digit of a bare or direct answer is off by one."},
          {"keep-optimizer", &C::keep_optimizer, any().in(kSupervised), "",
           "Go on with the moments of the stage before instead of fresh ones."},
          {"gate", &C::gate, between(0, 1).in(kSupervised).own_corpus(), "share",
           "Share of worked probe documents that the model must complete without a wrong token, in "
           "each length of operands; the stage goes on at its last learning rate until then. 0: no "
           "gate."},
          {"gate-every", &C::gate_every, between(1, 1000000).in(kSupervised).own_corpus(),
           "updates", "Updates between probes of the gate."},
          {"gate-limit", &C::gate_limit, between(1, 100000000).in(kSupervised).own_corpus(),
           "updates", "Updates after which the stage ends even if the gate is not passed."},
          {"gate-documents", &C::gate_documents, between(1, 1000000).in(kSupervised).own_corpus(),
           "documents", "Probe documents per length of operands."},
          {"learning-rate", &C::learning_rate, positive(10).in(kTraining), "",
           "Learning rate after the warm-up."},
          {"learning-rate-final", &C::learning_rate_final, between(0, 10).in(kTraining), "",
           "Learning rate at the end; linear in between."},
          {"warmup-updates", &C::warmup_updates, between(0, 1000000).in(kTraining), "updates",
           "Updates over which the learning rate rises from 0."},
          {"weight-decay", &C::weight_decay, between(0, 10).in(kTraining), "",
           "AdamW: decoupled weight decay, on every parameter."},
      });
}

std::string listed(Kinds kinds) {
  std::string text;
  const auto& names = stage_kinds();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((kinds >> i & 1) == 0) continue;
    if (!text.empty()) text += kinds >> (i + 1) == 0 ? " and " : ", ";
    text += names[i];
  }
  return text;
}

Kinds kind_bit(const std::string& kind) {
  const auto& names = stage_kinds();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == kind) return Kinds{1} << i;
  return 0;
}

}  // namespace

const std::vector<std::string>& stage_kinds() {
  static const std::vector<std::string> kinds = {"pretrain", "sft", "rl", "eval"};
  return kinds;
}

const std::vector<Section>& sections() {
  static const std::vector<Section> all = {
      run_section(),        model_section(),    task_section(),          director_section(),
      generator_section(),  verifier_section(), replay_buffer_section(), learner_section(),
      evaluation_section(), metrics_section(),  broadcaster_section(),   network_section(),
      stages_section()};
  return all;
}

const Section& stage_section() {
  return sections().back();
}

const Section* find_section(std::string_view name) {
  for (const auto& section : sections())
    if (section.name == name) return &section;
  return nullptr;
}

const Key* Section::find(std::string_view key) const {
  for (const auto& candidate : keys)
    if (candidate.name == key) return &candidate;
  return nullptr;
}

std::vector<std::string> Section::key_names() const {
  std::vector<std::string> names;
  for (const auto& key : keys) names.push_back(key.name);
  return names;
}

std::optional<Complaint> inapplicable(const Key& key, const Config& config,
                                      const StageConfig* stage) {
  if (stage != nullptr && kind_bit(stage->kind) != 0 && (key.kinds & kind_bit(stage->kind)) == 0)
    return Complaint{"does not belong to a stage of kind " + to_toml(stage->kind) + ", only to " +
                         listed(key.kinds),
                     "remove it"};
  if (key.needs == Needs::own_corpus && !stage->documents.empty())
    return Complaint{"is for the built-in corpus, but this stage reads its documents from a file",
                     "remove it, or remove documents"};
  if (key.needs == Needs::own_model && !config.model.path.empty())
    return Complaint{"the model's shape comes from the folder in model.path",
                     "remove it, or remove model.path"};
  return {};
}

std::string facts(const Key& key) {
  Config config;
  StageConfig stage;
  const Slot member = key.member({config, &stage});
  std::string text = key.unit;
  const auto add = [&](const std::string& fact) {
    text += (text.empty() || fact.empty() ? "" : "; ") + fact;
  };
  add(key.rule.choices.empty() ? bounds(key.rule) : expectation(member, key.rule));
  const Value initial = load(member, key.rule);
  // What has no valid default is required, or says in its comment what it falls back to.
  if (!store(initial, member, key.rule, {})) add("default " + to_toml(initial));
  return text;
}

}  // namespace troupe::config
