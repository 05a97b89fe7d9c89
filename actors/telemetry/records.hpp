#pragma once
// What a run says about itself: plain data that the director collects and the writers render
// (status, metrics.jsonl, summary.json, report.html).
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Figures of one evaluation on held-out prompts.
struct EvaluationRecord {
  std::uint64_t version = 0;
  std::int32_t update = 0;  // updates of the stage done; 0: before
  std::int32_t prompts = 0;
  double pass_rate_sampled = 0, pass_rate_greedy = 0, format_rate = 0, mean_response_tokens = 0;
  double seconds = 0;
  double reward_mean = 0;  // sampled
};

/// A completion to look at.
struct SampleRecord {
  std::string prompt, response, answer, outcome;
  double reward = 0;
};

/// One update of an rl stage. Tokens and versions as in design.md.
struct RolloutUpdateRecord {
  std::int32_t stage = 0, update = 0, updates = 0;
  std::uint64_t version = 0;       // trained at; the published one is version + 1
  double seconds_since_start = 0;  // of the run
  /// Over all rollouts of the batch, before zero-signal groups are dropped.
  double reward_mean = 0, pass_rate = 0, format_rate = 0, response_tokens_mean = 0;
  double signal_share = 0;  // groups with signal
  double objective = 0, entropy = 0, kl_behaviour = 0, kl_reference = 0;
  double clip_fraction_low = 0, clip_fraction_high = 0, clip_fraction_dual = 0;
  double ratio_mean = 0, ratio_min = 0, ratio_max = 0, effective_sample_size = 0;
  double gradient_norm = 0, learning_rate = 0;
  double log_prob_gap_mean = 0, log_prob_gap_max = 0;
  std::uint64_t log_prob_gap_tokens = 0;
  std::uint64_t trained_tokens = 0, trained_rollouts = 0, trained_groups = 0;
  std::vector<std::uint64_t> lag_histogram;
  double wait_seconds = 0, train_seconds = 0;
  bool refused = false;
  std::string weights_digest;  // of the published version
};

/// One reporting step of a pretrain or sft stage (several updates).
struct SupervisedRecord {
  std::int32_t stage = 0, update = 0, updates = 0;
  double seconds_since_start = 0;
  double loss = 0, learning_rate = 0, gradient_norm = 0;
  double positions_per_second = 0;
  std::optional<double> gate_share;  // probed at this update
  double gate = 0;                   // the share to be reached; 0: the stage has no gate
  std::int32_t gate_limit = 0;       // updates after which a gate that is not passed ends the run
};

/// Rollouts by length in tokens. Key: the upper bound of a bucket, 16, 32, 64, ...; 0 counts those
/// whose length is not known.
using LengthCounts = std::map<std::uint64_t, std::uint64_t>;
inline std::uint64_t length_bucket(std::uint64_t tokens) {
  constexpr std::uint64_t kLeast = 16, kMost = std::uint64_t{1} << 32;
  return std::bit_ceil(std::clamp(tokens, kLeast, kMost));
}

/// Where every rollout and token is. The same identity holds in rollouts and in tokens:
/// generated = trained + buffered + in_flight + sum of dropped. Rollouts that are still being
/// sampled are `open` and not yet generated.
struct LedgerRecord {
  std::uint64_t open_rollouts = 0;
  std::uint64_t generated_rollouts = 0, trained_rollouts = 0, buffered_rollouts = 0,
                in_flight_rollouts = 0;
  std::uint64_t generated_tokens = 0, trained_tokens = 0, buffered_tokens = 0, in_flight_tokens = 0;
  std::map<std::string, std::uint64_t> dropped_rollouts, dropped_tokens;  // by reason
  /// What was lost must not be of other lengths than what was trained, or training is biased. The
  /// counts of a reason add up to dropped_rollouts; "late" holds what became known of the unknown.
  std::map<std::string, LengthCounts> dropped_lengths;  // by reason
  LengthCounts trained_lengths;
  std::uint64_t tickets_granted = 0, tickets_reissued = 0, duplicate_rollouts = 0;
  /// By generators that left; each time counted, the tokens once: they are in flight ever after.
  std::uint64_t handed_over_rollouts = 0, handed_over_tokens = 0;
  std::uint64_t max_lag = 0, tokens_beyond_bound = 0;
  std::int64_t imbalance_rollouts = 0,
               imbalance_tokens = 0;  // left side minus right side; must be 0
};

/// Something that happened: a restart, a refusal, a process that joined.
struct EventRecord {
  double seconds_since_start = 0;  // of the run
  std::string kind, text;
};

/// How an actor spent the time of a stage.
struct ActorTime {
  double busy_seconds = 0, idle_seconds = 0;
  double idle_ratio() const {
    return busy_seconds + idle_seconds > 0 ? idle_seconds / (busy_seconds + idle_seconds) : 0;
  }
};

/// A finished stage. Fields that do not apply stay empty.
struct StageRecord {
  std::string kind, name;
  double wall_seconds = 0;
  std::int32_t updates = 0, refused_updates = 0;
  LedgerRecord ledger;  // rl
  double log_prob_gap_mean = 0, log_prob_gap_max = 0;
  std::map<std::string, ActorTime> actors;  // "generator-0", "learner", ...
  double generator_tokens_per_second = 0, learner_tokens_per_second = 0;  // per busy second
  double loss = 0;                                                        // pretrain, sft
  std::optional<double> gate_share;
  std::optional<EvaluationRecord> before, after;
  std::vector<SampleRecord> samples_before, samples_after;
  std::string ended;  // "done", "interrupted", or an error
};

}  // namespace troupe
