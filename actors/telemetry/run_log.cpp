#include "actors/telemetry/run_log.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

namespace troupe {

namespace {

std::optional<std::uint64_t> config_number(const std::string& config_json, const char* section,
                                           const char* key) {
  const auto config = nlohmann::json::parse(config_json, nullptr, false);
  if (!config.is_object() || !config.contains(section)) return {};
  const auto& table = config[section];
  if (!table.is_object() || !table.contains(key) || !table[key].is_number_integer()) return {};
  return table[key].get<std::uint64_t>();
}

}  // namespace

void StageLog::add(const RolloutUpdateRecord& update) {
  const auto tokens = static_cast<double>(update.log_prob_gap_tokens);
  totals.gap_nats += update.log_prob_gap_mean * tokens;
  totals.gap_tokens += tokens;
  totals.gap_max = std::max(totals.gap_max, update.log_prob_gap_max);
  totals.refused += update.refused ? 1 : 0;
  auto& lags = totals.lag_histogram;
  lags.resize(std::max(lags.size(), update.lag_histogram.size()));
  for (std::size_t lag = 0; lag < update.lag_histogram.size(); ++lag)
    lags[lag] += update.lag_histogram[lag];
  rollout_updates.push_back(update);
  if (update.refused) refused_updates.push_back(update);
}

void StageLog::add(const SupervisedRecord& report) {
  if (report.gate_share) probes.push_back(report);
  supervised_updates.push_back(report);
}

std::vector<RolloutUpdateRecord> StageLog::curve() const {
  const auto earlier = [](const auto& a, const auto& b) { return a.update < b.update; };
  std::vector<RolloutUpdateRecord> all;  // of both, each once
  std::set_union(rollout_updates.kept().begin(), rollout_updates.kept().end(),
                 refused_updates.kept().begin(), refused_updates.kept().end(),
                 std::back_inserter(all), earlier);
  return all;
}

std::int32_t StageLog::updates_done() const {
  if (record) return record->updates;
  if (!rollout_updates.empty()) return rollout_updates.back().update;
  return supervised_updates.empty() ? 0 : supervised_updates.back().update;
}

StageRecord StageLog::result(double now) const {
  if (record) return *record;
  StageRecord partial;
  partial.kind = kind;
  partial.name = name;
  partial.wall_seconds = now - begin;
  partial.updates = updates_done();
  partial.ledger = ledger;
  if (!supervised_updates.empty()) partial.loss = supervised_updates.back().loss;
  if (!evaluations.empty() && evaluations.front().update == 0) partial.before = evaluations.front();
  partial.log_prob_gap_max = totals.gap_max;
  partial.refused_updates = totals.refused;
  if (totals.gap_tokens > 0) partial.log_prob_gap_mean = totals.gap_nats / totals.gap_tokens;
  partial.ended = "running";
  return partial;
}

std::vector<EvaluationRecord> StageLog::all_evaluations() const {
  std::vector<EvaluationRecord> all = evaluations.kept();
  const auto add = [&](const std::optional<EvaluationRecord>& evaluation) {
    if (!evaluation) return;
    const auto same = [&](const auto& other) { return other.update == evaluation->update; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back(*evaluation);
  };
  if (record) {
    add(record->before);
    add(record->after);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.update < b.update; });
  return all;
}

StageLog& RunLog::stage() {
  if (stages.empty()) stages.push_back({.kind = "run", .name = name});
  return stages.back();
}

void RunLog::add(const RolloutUpdateRecord& update) {
  stage().add(update);
  history.add(history_point(update));
}

void RunLog::add(const SupervisedRecord& report) {
  stage().add(report);
  history.add(history_point(report));
}

void RunLog::add(EventRecord event) {
  const auto is = [&](const char* part) { return event.kind.find(part) != std::string::npos; };
  ++event_count;
  if (is("fail") || is("error")) ++failure_count;
  events.push_back(std::move(event));
  if (events.size() > kMostEvents) events.erase(events.begin(), events.begin() + kMostEvents / 2);
}

std::optional<std::uint64_t> RunLog::staleness_bound() const {
  return config_number(config_json, "replay-buffer", "staleness-bound");
}

std::optional<std::uint64_t> RunLog::seed() const {
  return config_number(config_json, "run", "seed");
}

const StageLog* RunLog::main_stage() const {
  const auto last = [&](auto wanted) -> const StageLog* {
    const auto found = std::find_if(stages.rbegin(), stages.rend(), wanted);
    return found == stages.rend() ? nullptr : &*found;
  };
  if (const auto* rl = last([](const StageLog& stage) { return stage.kind == "rl"; })) return rl;
  return last([](const StageLog& stage) { return !stage.all_evaluations().empty(); });
}

std::int64_t imbalance(const LedgerRecord& ledger) {
  return std::abs(ledger.imbalance_rollouts) + std::abs(ledger.imbalance_tokens);
}

double mean_lag(const std::vector<std::uint64_t>& lag_histogram) {
  double tokens = 0, sum = 0;
  for (std::size_t lag = 0; lag < lag_histogram.size(); ++lag) {
    tokens += static_cast<double>(lag_histogram[lag]);
    sum += static_cast<double>(lag) * static_cast<double>(lag_histogram[lag]);
  }
  return tokens > 0 ? sum / tokens : 0;
}

}  // namespace troupe
