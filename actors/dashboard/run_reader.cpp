#include "actors/dashboard/run_reader.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace troupe {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kShelf = 1024;

/// A field of the right type, or what was there: a figure that is not finite is null in the file.
template <class T>
void take(const Json& line, const char* name, T& into) {
  const auto found = line.find(name);
  if (found == line.end()) return;
  try {
    found->get_to(into);
  } catch (const Json::exception&) {
    return;
  }
}

RolloutUpdateRecord rollout_update(const Json& line) {
  RolloutUpdateRecord u;
  take(line, "seconds", u.seconds_since_start);
  take(line, "stage", u.stage);
  take(line, "update", u.update);
  take(line, "updates", u.updates);
  take(line, "version", u.version);
  take(line, "refused", u.refused);
  take(line, "reward_mean", u.reward_mean);
  take(line, "pass_rate", u.pass_rate);
  take(line, "format_rate", u.format_rate);
  take(line, "mean_response_tokens", u.response_tokens_mean);
  take(line, "signal_share", u.signal_share);
  take(line, "objective", u.objective);
  take(line, "entropy", u.entropy);
  take(line, "kl_behaviour", u.kl_behaviour);
  take(line, "kl_reference", u.kl_reference);
  take(line, "clip_fraction_low", u.clip_fraction_low);
  take(line, "clip_fraction_high", u.clip_fraction_high);
  take(line, "clip_fraction_dual", u.clip_fraction_dual);
  take(line, "ratio_mean", u.ratio_mean);
  take(line, "effective_sample_size", u.effective_sample_size);
  take(line, "gradient_norm", u.gradient_norm);
  take(line, "learning_rate", u.learning_rate);
  if (const auto gap = line.find("log_prob_gap"); gap != line.end() && gap->is_object()) {
    take(*gap, "mean", u.log_prob_gap_mean);
    take(*gap, "max", u.log_prob_gap_max);
  }
  take(line, "log_prob_gap_tokens", u.log_prob_gap_tokens);
  take(line, "trained_tokens", u.trained_tokens);
  take(line, "trained_rollouts", u.trained_rollouts);
  take(line, "lag_histogram", u.lag_histogram);
  take(line, "wait_seconds", u.wait_seconds);
  take(line, "train_seconds", u.train_seconds);
  take(line, "weights_digest", u.weights_digest);
  return u;
}

SupervisedRecord supervised_update(const Json& line) {
  SupervisedRecord u;
  take(line, "stage", u.stage);
  take(line, "update", u.update);
  take(line, "updates", u.updates);
  take(line, "seconds", u.seconds_since_start);
  take(line, "loss", u.loss);
  take(line, "learning_rate", u.learning_rate);
  take(line, "gradient_norm", u.gradient_norm);
  take(line, "positions_per_second", u.positions_per_second);
  double share = -1;
  take(line, "gate_share", share);
  if (share >= 0) u.gate_share = share;  // only some reports have one
  return u;
}

EvaluationRecord evaluation(const Json& line) {
  EvaluationRecord e;
  take(line, "version", e.version);
  take(line, "update", e.update);
  take(line, "prompts", e.prompts);
  take(line, "pass_rate_sampled", e.pass_rate_sampled);
  take(line, "pass_rate_greedy", e.pass_rate_greedy);
  take(line, "format_rate", e.format_rate);
  take(line, "mean_response_tokens", e.mean_response_tokens);
  return e;
}

LedgerRecord ledger(const Json& line) {
  LedgerRecord l;
  take(line, "open_rollouts", l.open_rollouts);
  take(line, "generated_rollouts", l.generated_rollouts);
  take(line, "trained_rollouts", l.trained_rollouts);
  take(line, "buffered_rollouts", l.buffered_rollouts);
  take(line, "in_flight_rollouts", l.in_flight_rollouts);
  take(line, "generated_tokens", l.generated_tokens);
  take(line, "trained_tokens", l.trained_tokens);
  take(line, "buffered_tokens", l.buffered_tokens);
  take(line, "in_flight_tokens", l.in_flight_tokens);
  take(line, "dropped_rollouts", l.dropped_rollouts);
  take(line, "dropped_tokens", l.dropped_tokens);
  take(line, "max_lag", l.max_lag);
  take(line, "tokens_beyond_bound", l.tokens_beyond_bound);
  take(line, "imbalance_rollouts", l.imbalance_rollouts);
  take(line, "imbalance_tokens", l.imbalance_tokens);
  return l;
}

class Reader {
 public:
  void read(const Json& line);
  RunLog run;
};

void Reader::read(const Json& line) {
  std::string type;
  take(line, "type", type);
  double seconds = 0;
  take(line, "seconds", seconds);
  run.wall_seconds = std::max(run.wall_seconds, seconds);
  if (type == "run") {
    take(line, "run", run.name);
    take(line, "run_id", run.id);
    take(line, "config_digest", run.config_digest);
    take(line, "model", run.model_description);
    take(line, "build", run.build_description);
    take(line, "started_at", run.started);
  } else if (type == "stage_begins") {
    StageLog begun{.begin = seconds};
    take(line, "stage", begun.index);
    take(line, "updates", begun.updates);
    take(line, "kind", begun.kind);
    take(line, "name", begun.name);
    run.stages.push_back(std::move(begun));
  } else if (type == "stage_ends") {
    run.stage().end = seconds;
    take(line, "ended", run.ended);
  } else if (type == "update") {
    run.add(rollout_update(line));
  } else if (type == "supervised") {
    run.add(supervised_update(line));
  } else if (type == "evaluation") {
    run.stage().evaluations.push_back(evaluation(line));
  } else if (type == "ledger") {
    run.stage().ledger = ledger(line);
  } else if (type == "event") {
    EventRecord event{seconds, "", ""};
    take(line, "kind", event.kind);
    take(line, "text", event.text);
    run.add(std::move(event));
  }
}

std::optional<EvaluationRecord> evaluation_in(const Json& stage, const char* name,
                                              std::int32_t update) {
  if (!stage.contains(name) || !stage[name].is_object()) return std::nullopt;
  EvaluationRecord record = evaluation(stage[name]);
  record.update = update;
  return record;
}

/// Times are shares of 1 s: summary.json has no more.
void add_stage(StageLog& log, const Json& stage, double seconds) {
  StageRecord record = log.result(seconds);
  take(stage, "ended", record.ended);
  take(stage, "wall_seconds", record.wall_seconds);
  take(stage, "updates", record.updates);
  std::map<std::string, double> idle;
  take(stage, "idle_ratio", idle);
  for (const auto& [actor, share] : idle) record.actors[actor] = {1 - share, share};
  record.before = evaluation_in(stage, "before", 0);
  record.after = evaluation_in(stage, "after", record.updates);
  log.record = std::move(record);
}

/// What only the end of the run knows: how it ended, and how its actors spent the time.
void add_summary(RunLog& run, const std::filesystem::path& file) {
  std::ifstream in(file);
  const Json summary = Json::parse(in, nullptr, false);
  if (!summary.is_object()) return;
  take(summary, "ended", run.ended);
  take(summary, "ended_at", run.finished);
  take(summary, "wall_seconds", run.wall_seconds);
  take(summary, "peak_memory_bytes", run.peak_memory_bytes);
  if (!summary.contains("stages") || !summary["stages"].is_array()) return;
  for (std::size_t i = 0; i < std::min(run.stages.size(), summary["stages"].size()); ++i)
    if (summary["stages"][i].is_object())
      add_stage(run.stages[i], summary["stages"][i], run.wall_seconds);
}

}  // namespace

RunLog read_run(const std::filesystem::path& run_directory) {
  std::ifstream in(run_directory / "metrics.jsonl");
  if (!in)
    throw std::runtime_error(run_directory.string() +
                             ": there is no metrics.jsonl; name the directory of a run");
  Reader reader;
  for (std::string text; std::getline(in, text);) {
    const Json line = Json::parse(text, nullptr, false);
    if (line.is_object()) reader.read(line);
  }
  reader.run.ended.clear();  // of a stage; a run without summary.json was killed or goes on
  add_summary(reader.run, run_directory / "summary.json");
  return std::move(reader.run);
}

RolloutShelf read_rollouts(const std::filesystem::path& run_directory) {
  RolloutShelf shelf(kShelf);
  std::ifstream in(run_directory / "rollouts.jsonl");
  for (std::string text; std::getline(in, text);)
    if (auto rollout = rollout_of_line(text))
      shelf.add(std::make_shared<const RolloutView>(std::move(*rollout)));
  return shelf;
}

}  // namespace troupe
