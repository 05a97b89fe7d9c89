#include "actors/telemetry/summary.hpp"

#include "actors/telemetry/text.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using Json = nlohmann::ordered_json;

Json counts(const std::map<std::string, std::uint64_t>& by_reason) {
  Json object = Json::object();
  for (const auto& [reason, count] : by_reason) object[reason] = count;
  return object;
}

Json lengths(const LengthCounts& counts) {
  Json object = Json::object();
  for (const auto& [bound, count] : counts)
    object[bound == 0 ? "unknown" : std::to_string(bound)] = count;
  return object;
}

Json lengths(const std::map<std::string, LengthCounts>& by_reason) {
  Json object = Json::object();
  for (const auto& [reason, counts] : by_reason) object[reason] = lengths(counts);
  return object;
}

void add_rl(Json& out, const StageRecord& stage) {
  out["refused_updates"] = stage.refused_updates;
  out["generated_tokens"] = stage.ledger.generated_tokens;
  out["trained_tokens"] = stage.ledger.trained_tokens;
  out["dropped_tokens"] = counts(stage.ledger.dropped_tokens);
  out["dropped_rollouts"] = counts(stage.ledger.dropped_rollouts);
  out["max_lag"] = stage.ledger.max_lag;
  out["tokens_beyond_bound"] = stage.ledger.tokens_beyond_bound;
  out["ledger_imbalance"] = imbalance(stage.ledger);
  out["log_prob_gap"] = {{"mean", stage.log_prob_gap_mean}, {"max", stage.log_prob_gap_max}};
  out["generator_tokens_per_second"] = stage.generator_tokens_per_second;
  out["learner_tokens_per_second"] = stage.learner_tokens_per_second;
  out["ledger"] = ledger_json(stage.ledger);
}

Json stage_json(const StageRecord& stage) {
  Json out;
  out["kind"] = stage.kind;
  out["name"] = stage.name;
  out["ended"] = stage.ended;
  out["wall_seconds"] = stage.wall_seconds;
  out["updates"] = stage.updates;
  if (stage.kind == "rl") add_rl(out, stage);
  if (stage.kind == "pretrain" || stage.kind == "sft") {
    out["loss"] = stage.loss;
    if (stage.learner_tokens_per_second > 0)
      out["learner_tokens_per_second"] = stage.learner_tokens_per_second;
  }
  if (stage.gate_share) out["gate_share"] = *stage.gate_share;
  if (!stage.actors.empty()) {
    Json idle = Json::object();
    for (const auto& [actor, time] : stage.actors) idle[actor] = time.idle_ratio();
    out["idle_ratio"] = idle;
  }
  if (stage.before) out["before"] = evaluation_json(*stage.before);
  if (stage.after) out["after"] = evaluation_json(*stage.after);
  return out;
}

}  // namespace

Json evaluation_json(const EvaluationRecord& evaluation) {
  return {{"pass_rate_sampled", evaluation.pass_rate_sampled},
          {"pass_rate_greedy", evaluation.pass_rate_greedy},
          {"format_rate", evaluation.format_rate},
          {"mean_response_tokens", evaluation.mean_response_tokens},
          {"reward_mean", evaluation.reward_mean},
          {"prompts", evaluation.prompts},
          {"version", evaluation.version},
          {"seconds", evaluation.seconds}};
}

Json ledger_json(const LedgerRecord& ledger) {
  return {{"open_rollouts", ledger.open_rollouts},
          {"generated_rollouts", ledger.generated_rollouts},
          {"trained_rollouts", ledger.trained_rollouts},
          {"buffered_rollouts", ledger.buffered_rollouts},
          {"in_flight_rollouts", ledger.in_flight_rollouts},
          {"dropped_rollouts", counts(ledger.dropped_rollouts)},
          {"dropped_lengths", lengths(ledger.dropped_lengths)},
          {"trained_lengths", lengths(ledger.trained_lengths)},
          {"imbalance_rollouts", ledger.imbalance_rollouts},
          {"generated_tokens", ledger.generated_tokens},
          {"trained_tokens", ledger.trained_tokens},
          {"buffered_tokens", ledger.buffered_tokens},
          {"in_flight_tokens", ledger.in_flight_tokens},
          {"dropped_tokens", counts(ledger.dropped_tokens)},
          {"imbalance_tokens", ledger.imbalance_tokens},
          {"tickets_granted", ledger.tickets_granted},
          {"tickets_reissued", ledger.tickets_reissued},
          {"handed_over_rollouts", ledger.handed_over_rollouts},
          {"handed_over_tokens", ledger.handed_over_tokens},
          {"duplicate_rollouts", ledger.duplicate_rollouts},
          {"max_lag", ledger.max_lag},
          {"tokens_beyond_bound", ledger.tokens_beyond_bound}};
}

std::string summary_json(const RunLog& run) {
  Json out;
  out["troupe_summary_version"] = kSummaryVersion;
  out["run"] = run.name;
  if (const auto seed = run.seed()) out["seed"] = *seed;
  out["config_digest"] = run.config_digest;
  out["model"] = run.model_description;
  out["build"] = run.build_description;
  out["started_at"] = run.started;
  out["ended_at"] = run.finished;
  out["wall_seconds"] = run.wall_seconds;
  out["ended"] = run.ended;
  if (run.lineage) out["lineage"] = {{"lines", run.lineage->lines}, {"chain", run.lineage->chain}};
  out["peak_memory_bytes"] = run.peak_memory_bytes;
  out["stages"] = Json::array();
  for (const StageLog& stage : run.stages)
    out["stages"].push_back(stage_json(stage.result(run.wall_seconds)));
  return dump_json(out, 2) + "\n";
}

}  // namespace troupe
