#include "actors/telemetry/metrics_export.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

namespace troupe {

namespace {

using Reasons = std::map<std::string, std::uint64_t>;

const std::vector<double>& buckets_of(const std::string& name) {
  const auto& list = metric_list();
  return std::find_if(list.begin(), list.end(), [&](const auto& m) { return m.name == name; })
      ->buckets;
}

void observe_lags(Metrics& metrics, const std::vector<std::uint64_t>& lag_histogram) {
  const std::string name = "troupe_learner_staleness_versions";
  const auto& bounds = buckets_of(name);
  std::vector<double> increments(bounds.size() + 1);
  double sum = 0;
  for (std::size_t lag = 0; lag < lag_histogram.size(); ++lag) {
    const auto tokens = static_cast<double>(lag_histogram[lag]);
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), static_cast<double>(lag));
    increments[static_cast<std::size_t>(bucket - bounds.begin())] += tokens;
    sum += tokens * static_cast<double>(lag);
  }
  metrics.histogram(name).ObserveMultiple(increments, sum);
}

/// False if `now` belongs to a ledger that began after `before`.
bool goes_on(const LedgerRecord& now, const LedgerRecord& before) {
  return now.tickets_granted >= before.tickets_granted &&
         now.generated_rollouts >= before.generated_rollouts;
}

void grow(prometheus::Counter& counter, std::uint64_t now, std::uint64_t before) {
  counter.Increment(now > before ? static_cast<double>(now - before) : 0);
}

void grow(Metrics& metrics, const std::string& name, const Reasons& now, const Reasons& before) {
  for (const auto& [reason, count] : now) {
    const auto old = before.find(reason);
    grow(metrics.counter(name, reason), count, old == before.end() ? 0 : old->second);
  }
}

/// The rollouts that `now` has more than `before`; `tokens` are theirs. Unknown lengths stay out.
void observe_lengths(prometheus::Histogram& histogram, const std::vector<double>& bounds,
                     const LengthCounts& now, const LengthCounts& before, double tokens) {
  std::vector<double> increments(bounds.size() + 1);
  for (const auto& [length, count] : now) {
    if (length == 0) continue;
    const auto old = before.find(length);
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), static_cast<double>(length));
    increments[static_cast<std::size_t>(bucket - bounds.begin())] +=
        static_cast<double>(count - (old == before.end() ? 0 : old->second));
  }
  histogram.ObserveMultiple(increments, tokens);
}

template <class Key, class Value>
Value value_or_none(const std::map<Key, Value>& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? Value{} : found->second;
}

void export_lengths(Metrics& metrics, const LedgerRecord& ledger, const LedgerRecord& before) {
  const std::string dropped = "troupe_ledger_dropped_length_tokens";
  const std::string trained = "troupe_ledger_trained_length_tokens";
  for (const auto& [reason, counts] : ledger.dropped_lengths)
    observe_lengths(metrics.histogram(dropped, reason), buckets_of(dropped), counts,
                    value_or_none(before.dropped_lengths, reason),
                    static_cast<double>(value_or_none(ledger.dropped_tokens, reason) -
                                        value_or_none(before.dropped_tokens, reason)));
  observe_lengths(metrics.histogram(trained), buckets_of(trained), ledger.trained_lengths,
                  before.trained_lengths,
                  static_cast<double>(ledger.trained_tokens - before.trained_tokens));
}

}  // namespace

void export_stage(Metrics& metrics, std::int32_t index, std::int32_t updates) {
  metrics.gauge("troupe_run_stage").Set(index);
  metrics.gauge("troupe_run_update").Set(0);
  metrics.gauge("troupe_run_updates_planned").Set(updates);
}

void export_run(Metrics& metrics, const RolloutUpdateRecord& update,
                const std::string& environment) {
  metrics.gauge("troupe_run_update").Set(update.update);
  metrics.gauge("troupe_run_updates_planned").Set(update.updates);
  metrics.gauge("troupe_trust_reward_mean", environment).Set(update.reward_mean);
  metrics.gauge("troupe_run_pass_rate").Set(update.pass_rate);
  metrics.gauge("troupe_run_format_rate").Set(update.format_rate);
  metrics.gauge("troupe_run_response_length_tokens").Set(update.response_tokens_mean);
  metrics.gauge("troupe_run_signal_ratio").Set(update.signal_share);
}

void export_learner(Metrics& metrics, const RolloutUpdateRecord& update) {
  metrics.counter("troupe_learner_wait_for_data_seconds_total").Increment(update.wait_seconds);
  metrics.histogram("troupe_learner_update_seconds", "wait").Observe(update.wait_seconds);
  metrics.histogram("troupe_learner_update_seconds", "train").Observe(update.train_seconds);
  if (update.refused) {
    metrics.counter("troupe_learner_nan_updates_total").Increment();
    return;
  }
  metrics.counter("troupe_learner_updates_total").Increment();
  metrics.gauge("troupe_learner_version").Set(static_cast<double>(update.version + 1));
  metrics.counter("troupe_learner_trained_tokens_total")
      .Increment(static_cast<double>(update.trained_tokens));
  observe_lags(metrics, update.lag_histogram);
  metrics.histogram("troupe_learner_importance_ratio").Observe(update.ratio_mean);
  metrics.gauge("troupe_learner_clip_fraction_ratio")
      .Set(update.clip_fraction_low + update.clip_fraction_high + update.clip_fraction_dual);
  metrics.gauge("troupe_learner_approx_kl").Set(update.kl_behaviour);
  metrics.gauge("troupe_learner_entropy_nats").Set(update.entropy);
  metrics.gauge("troupe_learner_grad_norm").Set(update.gradient_norm);
  if (update.log_prob_gap_tokens == 0) return;
  metrics.histogram("troupe_learner_train_gen_logprob_gap").Observe(update.log_prob_gap_mean);
  metrics.gauge("troupe_learner_train_gen_logprob_gap_highest").Set(update.log_prob_gap_max);
}

void export_run(Metrics& metrics, const SupervisedRecord& update) {
  metrics.gauge("troupe_run_update").Set(update.update);
  metrics.gauge("troupe_run_updates_planned").Set(update.updates);
  metrics.gauge("troupe_run_supervised_loss_nats").Set(update.loss);
}

void export_record(Metrics& metrics, const EvaluationRecord& evaluation,
                   const std::string& environment) {
  metrics.gauge("troupe_evaluation_pass_rate", "sampled").Set(evaluation.pass_rate_sampled);
  metrics.gauge("troupe_evaluation_pass_rate", "greedy").Set(evaluation.pass_rate_greedy);
  metrics.gauge("troupe_trust_holdout_reward_mean", environment).Set(evaluation.reward_mean);
  metrics.gauge("troupe_evaluation_format_rate").Set(evaluation.format_rate);
  metrics.gauge("troupe_evaluation_response_length_tokens").Set(evaluation.mean_response_tokens);
}

void export_record(Metrics& metrics, const LedgerRecord& ledger, const LedgerRecord& exported) {
  const LedgerRecord before = goes_on(ledger, exported) ? exported : LedgerRecord{};
  const auto set = [&](const char* name, const char* state, std::uint64_t value) {
    metrics.gauge(name, state).Set(static_cast<double>(value));
  };
  set("troupe_ledger_rollouts", "open", ledger.open_rollouts);
  set("troupe_ledger_rollouts", "generated", ledger.generated_rollouts);
  set("troupe_ledger_rollouts", "trained", ledger.trained_rollouts);
  set("troupe_ledger_rollouts", "buffered", ledger.buffered_rollouts);
  set("troupe_ledger_rollouts", "in_flight", ledger.in_flight_rollouts);
  set("troupe_ledger_tokens", "generated", ledger.generated_tokens);
  set("troupe_ledger_tokens", "trained", ledger.trained_tokens);
  set("troupe_ledger_tokens", "buffered", ledger.buffered_tokens);
  set("troupe_ledger_tokens", "in_flight", ledger.in_flight_tokens);
  metrics.gauge("troupe_ledger_imbalance")
      .Set(static_cast<double>(std::abs(ledger.imbalance_rollouts) +
                               std::abs(ledger.imbalance_tokens)));
  metrics.gauge("troupe_ledger_max_lag_versions").Set(static_cast<double>(ledger.max_lag));
  grow(metrics, "troupe_ledger_dropped_rollouts_total", ledger.dropped_rollouts,
       before.dropped_rollouts);
  grow(metrics, "troupe_ledger_dropped_tokens_total", ledger.dropped_tokens, before.dropped_tokens);
  export_lengths(metrics, ledger, before);
  grow(metrics.counter("troupe_ledger_tickets_granted_total"), ledger.tickets_granted,
       before.tickets_granted);
  grow(metrics.counter("troupe_ledger_tickets_reissued_total"), ledger.tickets_reissued,
       before.tickets_reissued);
  grow(metrics.counter("troupe_ledger_handed_over_rollouts_total"), ledger.handed_over_rollouts,
       before.handed_over_rollouts);
  grow(metrics.counter("troupe_ledger_handed_over_tokens_total"), ledger.handed_over_tokens,
       before.handed_over_tokens);
  grow(metrics.counter("troupe_ledger_duplicate_rollouts_total"), ledger.duplicate_rollouts,
       before.duplicate_rollouts);
  grow(metrics.counter("troupe_ledger_tokens_beyond_bound_total"), ledger.tokens_beyond_bound,
       before.tokens_beyond_bound);
}

}  // namespace troupe
