#include "actors/telemetry/metrics.hpp"

#include <map>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <stdexcept>

namespace troupe {

namespace {

using enum MetricKind;

const std::vector<double> kMicroToSeconds = {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3,
                                             1e-2, 3e-2, 0.1,  0.3,  1,    3};
const std::vector<double> kMilliToMinutes = {1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100};
const std::vector<double> kLengths = {16,   32,   64,   128,   256,   512,  1024,
                                      2048, 4096, 8192, 16384, 32768, 65536};
const std::vector<double> kVersions = {0, 1, 2, 3, 4, 6, 8, 12, 16, 32};
const std::vector<double> kRatios = {0.5,  0.8,  0.9,  0.95, 0.98, 0.99, 1,
                                     1.01, 1.02, 1.05, 1.1,  1.25, 2};
const std::vector<double> kGapNats = {0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1};

std::vector<MetricDefinition> make_list() {
  return {
      // generator
      {"troupe_generator_generated_tokens_total", counter, "Completion tokens sampled."},
      {"troupe_generator_prompt_tokens_total", counter, "Prompt tokens run through the model."},
      {"troupe_generator_rollouts_total",
       counter,
       "Rollouts finished, by why they ended.",
       "outcome",
       {},
       {"stop", "length"}},
      {"troupe_generator_decode_step_seconds", histogram, "Time of one decode step over all rows.",
       "", kMicroToSeconds},
      {"troupe_generator_time_to_first_token_seconds", histogram,
       "Time from taking a ticket to its first sampled token.", "", kMilliToMinutes},
      {"troupe_generator_inflight", gauge, "Rollouts being sampled.", "actor"},
      {"troupe_generator_kv_blocks_used_ratio", gauge, "Share of the KV cache in use.", "actor"},
      {"troupe_generator_weights_version", gauge, "Policy version that samples.", "actor"},
      {"troupe_generator_weights_swap_seconds", histogram,
       "Time between two decode steps spent on taking a new version.", "", kMicroToSeconds},
      {"troupe_generator_partial_resumes_total", counter,
       "Rollouts that went on from what a generator that left had sampled."},
      {"troupe_generator_mixed_version_rollouts_total", counter,
       "Rollouts that went on under a newer version than they began with."},
      // verifier
      {"troupe_verifier_verdicts_total",
       counter,
       "Rollouts graded, by verdict.",
       "outcome",
       {},
       {"pass", "fail", "infra_error"}},
      {"troupe_verifier_queue_depth", gauge, "Rollouts that wait to be graded.", "actor"},
      {"troupe_verifier_oldest_pending_seconds", gauge,
       "Time for which the verifier has held the oldest rollout that the buffer does not have yet.",
       "actor"},
      // replay buffer
      {"troupe_replay_appended_total", counter, "Graded rollouts taken in."},
      {"troupe_replay_consumed_total", counter, "Rollouts handed to the learner."},
      {"troupe_replay_leased", gauge, "Rollouts handed out whose update is not published yet."},
      {"troupe_replay_duplicate_appends_total", counter,
       "Rollouts that came again and were ignored."},
      {"troupe_replay_expired_total",
       counter,
       "Rollouts that became too old, by reason.",
       "reason",
       {},
       {"stale", "ttl"}},
      // the ledger's terms (from records)
      {"troupe_ledger_rollouts",
       gauge,
       "Rollouts by where they are: generated = trained + buffered + in_flight + dropped.",
       "state",
       {},
       {"open", "generated", "trained", "buffered", "in_flight"}},
      {"troupe_ledger_tokens",
       gauge,
       "Completion tokens by where they are.",
       "state",
       {},
       {"generated", "trained", "buffered", "in_flight"}},
      {"troupe_ledger_dropped_rollouts_total", counter, "Rollouts never trained on, by reason.",
       "reason"},
      {"troupe_ledger_dropped_tokens_total", counter, "Tokens never trained on, by reason.",
       "reason"},
      {"troupe_ledger_dropped_length_tokens", histogram,
       "Lengths of rollouts never trained on, where known, by reason.", "reason", kLengths},
      {"troupe_ledger_trained_length_tokens", histogram, "Lengths of rollouts trained on.", "",
       kLengths},
      {"troupe_ledger_tickets_granted_total", counter,
       "Groups that generators were let to sample."},
      {"troupe_ledger_tickets_reissued_total", counter,
       "Tickets granted again after a generator died or left."},
      {"troupe_ledger_handed_over_rollouts_total", counter,
       "Unfinished rollouts handed over by generators that left."},
      {"troupe_ledger_handed_over_tokens_total", counter,
       "Tokens of those: sampled once, and another generator went on from them."},
      {"troupe_ledger_duplicate_rollouts_total", counter, "Rollouts delivered more than once."},
      {"troupe_ledger_imbalance", gauge,
       "Rollouts plus tokens that the ledger cannot place (absolute); must be 0."},
      {"troupe_ledger_max_lag_versions", gauge, "Highest lag of a trained token."},
      {"troupe_ledger_tokens_beyond_bound_total", counter,
       "Trained tokens older than the staleness bound; must stay 0."},
      // learner (from records, but for stale_trained_total and checkpoint_*)
      {"troupe_learner_updates_total", counter, "Updates published by rl stages."},
      {"troupe_learner_version", gauge, "Newest published policy version."},
      {"troupe_learner_update_seconds",
       histogram,
       "Time of one update, by phase.",
       "phase",
       kMilliToMinutes,
       {"wait", "train"}},
      {"troupe_learner_wait_for_data_seconds_total", counter, "Time waited for batches."},
      {"troupe_learner_trained_tokens_total", counter, "Completion tokens trained on."},
      {"troupe_learner_staleness_versions", histogram, "Lag of each trained token.", "", kVersions},
      {"troupe_learner_stale_trained_total", counter,
       "Tokens beyond the bound that the learner's own check found; must stay 0."},
      {"troupe_learner_importance_ratio", histogram, "Mean importance ratio of each update.", "",
       kRatios},
      {"troupe_learner_clip_fraction_ratio", gauge,
       "Share of tokens clipped in the newest update."},
      {"troupe_learner_approx_kl", gauge,
       "KL divergence from the behaviour policy, newest update, in nats."},
      {"troupe_learner_entropy_nats", gauge, "Entropy per token of the newest update."},
      {"troupe_learner_grad_norm", gauge, "Gradient norm before clipping, newest update."},
      {"troupe_learner_train_gen_logprob_gap", histogram,
       "Mean gap in nats between the learner's and the generator's log-probs, per update.", "",
       kGapNats},
      {"troupe_learner_train_gen_logprob_gap_highest", gauge,
       "Highest gap in nats of a token in the newest update."},
      {"troupe_learner_nan_updates_total", counter, "Updates refused as not finite."},
      {"troupe_learner_checkpoint_seconds", histogram, "Time to save a model.", "",
       kMilliToMinutes},
      {"troupe_learner_checkpoint_age_seconds", gauge,
       "Time since a model was last saved; since the run began if none was."},
      // broadcaster
      {"troupe_broadcaster_publish_seconds", histogram,
       "Time until every generator holds a version.", "", kMilliToMinutes},
      {"troupe_broadcaster_subscriber_lag_versions", gauge, "Versions a generator is behind.",
       "actor"},
      {"troupe_broadcaster_version", gauge, "Newest published policy version."},
      {"troupe_broadcaster_handed_total", counter, "Versions handed out, one for each receiver."},
      {"troupe_broadcaster_bytes_total",
       counter,
       "Bytes of weights handed out; pointer: within the process.",
       "carrier",
       {},
       {"pointer", "memfd", "delta", "stream"}},
      {"troupe_broadcaster_checksum_mismatch_total", counter,
       "Versions whose digest did not match."},
      // every actor
      {"troupe_actor_mailbox_depth", gauge, "Messages that wait in the mailbox.", "actor"},
      {"troupe_actor_message_seconds", histogram,
       "Time to handle one message or answer, waiting not included.", "actor", kMicroToSeconds},
      {"troupe_actor_credits_available", gauge, "Items the actor may still ask for or send.",
       "actor"},
      {"troupe_actor_dropped_messages_total",
       counter,
       "Messages refused, not understood or not answered in time, by reason.",
       "reason",
       {},
       {"unexpected", "timeout", "already_waiting", "stage_over", "version_not_newer",
        "digest_mismatch"}},
      {"troupe_actor_restarts_total", counter, "Restarts by the director.", "actor"},
      {"troupe_actor_last_progress_timestamp_seconds", gauge,
       "Unix time of the actor's last progress (from progress()).", "actor"},
      {"troupe_actor_idle_ratio", gauge,
       "Share of this stage the actor waited (from its activity log).", "actor"},
      // links between processes
      {"troupe_link_peer_connected", gauge, "1 while the peer's link is there, 0 while it is away.",
       "peer"},
      {"troupe_link_reconnects_total", counter, "Joins of a peer after its first.", "peer"},
      {"troupe_link_closed_total", counter, "Sessions that ended, by reason.", "reason"},
      {"troupe_link_refused_total", counter, "Connections that were not let in, by reason.",
       "reason"},
      {"troupe_link_fenced_total", counter, "Peers that came back after their lease had ended."},
      // the run (from records)
      {"troupe_run_stage", gauge, "Index of the running stage."},
      {"troupe_run_update", gauge, "Updates of the running stage done."},
      {"troupe_run_updates_planned", gauge, "Updates the running stage will make."},
      {"troupe_run_paused", gauge, "1 while somebody has paused the run."},
      {"troupe_run_reward_mean", gauge, "Mean reward over the newest batch."},
      {"troupe_run_pass_rate", gauge, "Share of the newest batch that passed."},
      {"troupe_run_format_rate", gauge, "Share of the newest batch in the right format."},
      {"troupe_run_response_length_tokens", gauge, "Mean completion length of the newest batch."},
      {"troupe_run_signal_ratio", gauge, "Share of groups whose rewards differ."},
      {"troupe_run_supervised_loss_nats", gauge, "Loss per token of a pretrain or sft stage."},
      {"troupe_run_events_total", counter, "Restarts, refusals, gates and errors, by kind.",
       "kind"},
      {"troupe_evaluation_pass_rate",
       gauge,
       "Pass rate on held-out prompts, by decoding mode.",
       "mode",
       {},
       {"sampled", "greedy"}},
      {"troupe_evaluation_format_rate", gauge,
       "Share of held-out completions in the right format."},
      {"troupe_evaluation_response_length_tokens", gauge,
       "Mean completion length on held-out prompts."},
      {"troupe_build_info", gauge, "Always 1; the label describes the build.", "build"},
  };
}

prometheus::Labels labels_of(const MetricDefinition& metric, const std::string& label) {
  if (metric.label.empty()) return {};
  return {{metric.label, label}};
}

}  // namespace

const std::vector<MetricDefinition>& metric_list() {
  static const std::vector<MetricDefinition> list = make_list();
  return list;
}

struct Metrics::State {
  struct Entry {
    const MetricDefinition* definition;
    prometheus::Family<prometheus::Counter>* counters = nullptr;
    prometheus::Family<prometheus::Gauge>* gauges = nullptr;
    prometheus::Family<prometheus::Histogram>* histograms = nullptr;
  };

  prometheus::Registry registry;
  std::map<std::string, Entry, std::less<>> entries;  // never changes after construction

  void add(const MetricDefinition& metric) {
    Entry entry{&metric};
    const auto build = [&](auto builder) {
      return &builder.Name(metric.name).Help(metric.help).Register(registry);
    };
    if (metric.kind == MetricKind::counter) entry.counters = build(prometheus::BuildCounter());
    if (metric.kind == MetricKind::gauge) entry.gauges = build(prometheus::BuildGauge());
    if (metric.kind == MetricKind::histogram)
      entry.histograms = build(prometheus::BuildHistogram());
    entries.emplace(metric.name, entry);
  }

  const Entry& find(const std::string& name, MetricKind kind, const std::string& label) const {
    const auto found = entries.find(name);
    if (found == entries.end())
      throw std::logic_error("metric " + name + " is not in the list of metrics.cpp");
    const MetricDefinition& metric = *found->second.definition;
    if (metric.kind != kind) throw std::logic_error("metric " + name + " is of another type");
    if (metric.label.empty() && !label.empty())
      throw std::logic_error("metric " + name + " has no label, but got \"" + label + "\"");
    if (!metric.label.empty() && label.empty())
      throw std::logic_error("metric " + name + " needs a value for its label " + metric.label);
    return found->second;
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {
  for (const MetricDefinition& metric : metric_list()) {
    state_->add(metric);
    const auto values = metric.label.empty() ? std::vector<std::string>{""} : metric.values;
    for (const std::string& value : values) {
      if (metric.kind == MetricKind::counter) counter(metric.name, value);
      if (metric.kind == MetricKind::gauge) gauge(metric.name, value);
      if (metric.kind == MetricKind::histogram) histogram(metric.name, value);
    }
  }
}

Metrics::~Metrics() = default;

prometheus::Counter& Metrics::counter(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::counter, label);
  return entry.counters->Add(labels_of(*entry.definition, label));
}

prometheus::Gauge& Metrics::gauge(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::gauge, label);
  return entry.gauges->Add(labels_of(*entry.definition, label));
}

prometheus::Histogram& Metrics::histogram(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::histogram, label);
  return entry.histograms->Add(labels_of(*entry.definition, label), entry.definition->buckets);
}

std::string Metrics::expose() const {
  return prometheus::TextSerializer{}.Serialize(state_->registry.Collect());
}

prometheus::Registry& Metrics::registry() {
  return state_->registry;
}

}  // namespace troupe
