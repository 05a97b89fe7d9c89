#include "actors/telemetry/metrics_jsonl.hpp"

#include "actors/telemetry/summary.hpp"
#include "actors/telemetry/text.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string run_line(const RunLog& run) {
  return dump_json({{"type", "run"},
                    {"troupe_metrics_version", kMetricsLineVersion},
                    {"run", run.name},
                    {"run_id", run.id},
                    {"config_digest", run.config_digest},
                    {"model", run.model_description},
                    {"build", run.build_description},
                    {"started_at", run.started}});
}

std::string stage_begins_line(const StageLog& stage) {
  return dump_json({{"type", "stage_begins"},
                    {"seconds", stage.begin},
                    {"stage", stage.index},
                    {"kind", stage.kind},
                    {"name", stage.name},
                    {"updates", stage.updates}});
}

std::string stage_ends_line(const StageRecord& stage, double seconds) {
  return dump_json({{"type", "stage_ends"},
                    {"seconds", seconds},
                    {"kind", stage.kind},
                    {"name", stage.name},
                    {"updates", stage.updates},
                    {"wall_seconds", stage.wall_seconds},
                    {"ended", stage.ended}});
}

std::string update_line_json(const RolloutUpdateRecord& u) {
  return dump_json(
      {{"type", "update"},
       {"seconds", u.seconds_since_start},
       {"stage", u.stage},
       {"update", u.update},
       {"updates", u.updates},
       {"version", u.version},
       {"refused", u.refused},
       {"reward_mean", u.reward_mean},
       {"pass_rate", u.pass_rate},
       {"format_rate", u.format_rate},
       {"mean_response_tokens", u.response_tokens_mean},
       {"signal_share", u.signal_share},
       {"objective", u.objective},
       {"entropy", u.entropy},
       {"kl_behaviour", u.kl_behaviour},
       {"kl_reference", u.kl_reference},
       {"clip_fraction_low", u.clip_fraction_low},
       {"clip_fraction_high", u.clip_fraction_high},
       {"clip_fraction_dual", u.clip_fraction_dual},
       {"ratio_mean", u.ratio_mean},
       {"ratio_min", u.ratio_min},
       {"ratio_max", u.ratio_max},
       {"effective_sample_size", u.effective_sample_size},
       {"gradient_norm", u.gradient_norm},
       {"learning_rate", u.learning_rate},
       {"log_prob_gap", Json{{"mean", u.log_prob_gap_mean}, {"max", u.log_prob_gap_max}}},
       {"log_prob_gap_tokens", u.log_prob_gap_tokens},
       {"trained_tokens", u.trained_tokens},
       {"trained_rollouts", u.trained_rollouts},
       {"trained_groups", u.trained_groups},
       {"lag_histogram", u.lag_histogram},
       {"wait_seconds", u.wait_seconds},
       {"train_seconds", u.train_seconds},
       {"weights_digest", u.weights_digest}});
}

std::string update_line_json(const SupervisedRecord& u) {
  Json line = {{"type", "supervised"},
               {"seconds", u.seconds_since_start},
               {"stage", u.stage},
               {"update", u.update},
               {"updates", u.updates},
               {"loss", u.loss},
               {"learning_rate", u.learning_rate},
               {"gradient_norm", u.gradient_norm},
               {"positions_per_second", u.positions_per_second}};
  if (u.gate > 0) line["gate"] = u.gate;
  if (u.gate > 0) line["gate_limit"] = u.gate_limit;
  if (u.gate_share) line["gate_share"] = *u.gate_share;
  return dump_json(line);
}

std::string evaluation_line(const EvaluationRecord& evaluation, std::int32_t stage,
                            double seconds) {
  Json line = {{"type", "evaluation"},
               {"seconds", seconds},
               {"stage", stage},
               {"update", evaluation.update}};
  Json figures = evaluation_json(evaluation);
  figures["evaluation_seconds"] = evaluation.seconds;
  figures.erase("seconds");
  line.update(figures);
  return dump_json(line);
}

std::string ledger_line(const LedgerRecord& ledger, std::int32_t stage, double seconds) {
  Json line = {{"type", "ledger"}, {"seconds", seconds}, {"stage", stage}};
  line.update(ledger_json(ledger));
  return dump_json(line);
}

std::string event_line(const EventRecord& event) {
  return dump_json({{"type", "event"},
                    {"seconds", event.seconds_since_start},
                    {"kind", event.kind},
                    {"text", event.text}});
}

}  // namespace troupe
