#include "actors/telemetry/metrics.hpp"

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

std::vector<MetricDefinition> generator_metrics() {
  return {
      {"troupe_generator_generated_tokens_total", counter, "tokens", "Completion tokens sampled."},
      {"troupe_generator_prompt_tokens_total", counter, "tokens",
       "Prompt tokens run through the model."},
      {"troupe_generator_rollouts_total",
       counter,
       "rollouts",
       "Rollouts finished, by why they ended.",
       "outcome",
       {},
       {"stop", "length"}},
      {"troupe_generator_decode_step_seconds", histogram, "seconds",
       "Time of one decode step over all rows.", "", kMicroToSeconds},
      {"troupe_generator_time_to_first_token_seconds", histogram, "seconds",
       "Time from taking a ticket to its first sampled token.", "", kMilliToMinutes},
      {"troupe_generator_inflight", gauge, "rollouts", "Rollouts being sampled.", "actor"},
      {"troupe_generator_kv_blocks_used_ratio", gauge, "ratio", "Share of the KV cache in use.",
       "actor"},
      {"troupe_generator_weights_version", gauge, "version", "Policy version that samples.",
       "actor"},
      {"troupe_generator_weights_swap_seconds", histogram, "seconds",
       "Time between two decode steps spent on taking a new version.", "", kMicroToSeconds},
      {"troupe_generator_weights_prepare_seconds", histogram, "seconds",
       "Time to attest a version and lay it out, beside decoding.", "", kMicroToSeconds},
      {"troupe_generator_partial_resumes_total", counter, "rollouts",
       "Rollouts that went on from what a generator that left had sampled."},
      {"troupe_generator_mixed_version_rollouts_total", counter, "rollouts",
       "Rollouts that went on under a newer version than they began with."},
  };
}

std::vector<MetricDefinition> verifier_metrics() {
  return {
      {"troupe_verifier_verdicts_total",
       counter,
       "rollouts",
       "Rollouts graded, by verdict.",
       "outcome",
       {},
       {"pass", "fail", "infra_error"}},
      {"troupe_verifier_queue_depth", gauge, "rollouts", "Rollouts that wait to be graded.",
       "actor"},
      {"troupe_verifier_oldest_pending_seconds", gauge, "seconds",
       "Time for which the verifier has held the oldest rollout that the "
       "buffer does not have yet.",
       "actor"},
  };
}

std::vector<MetricDefinition> replay_metrics() {
  return {
      {"troupe_replay_appended_total", counter, "rollouts", "Graded rollouts taken in."},
      {"troupe_replay_consumed_total", counter, "rollouts", "Rollouts handed to the learner."},
      {"troupe_replay_leased", gauge, "rollouts",
       "Rollouts handed out whose update is not published yet."},
      {"troupe_replay_duplicate_appends_total", counter, "rollouts",
       "Rollouts that came again and were ignored."},
      {"troupe_replay_expired_total",
       counter,
       "rollouts",
       "Rollouts that became too old, by reason.",
       "reason",
       {},
       {"stale", "ttl"}},
  };
}

/// The terms of its balance, from records.
std::vector<MetricDefinition> ledger_metrics() {
  return {
      {"troupe_ledger_rollouts",
       gauge,
       "rollouts",
       "Rollouts by where they are: generated = trained + buffered + in_flight + dropped.",
       "state",
       {},
       {"open", "generated", "trained", "buffered", "in_flight"}},
      {"troupe_ledger_tokens",
       gauge,
       "tokens",
       "Completion tokens by where they are.",
       "state",
       {},
       {"generated", "trained", "buffered", "in_flight"}},
      {"troupe_ledger_dropped_rollouts_total", counter, "rollouts",
       "Rollouts never trained on, by reason.", "reason"},
      {"troupe_ledger_dropped_tokens_total", counter, "tokens",
       "Tokens never trained on, by reason.", "reason"},
      {"troupe_ledger_dropped_length_tokens", histogram, "tokens",
       "Lengths of rollouts never trained on, where known, by reason.", "reason", kLengths},
      {"troupe_ledger_trained_length_tokens", histogram, "tokens",
       "Lengths of rollouts trained on.", "", kLengths},
      {"troupe_ledger_tickets_granted_total", counter, "tickets",
       "Groups that generators were let to sample."},
      {"troupe_ledger_tickets_reissued_total", counter, "tickets",
       "Tickets granted again after a generator died or left."},
      {"troupe_ledger_handed_over_rollouts_total", counter, "rollouts",
       "Unfinished rollouts handed over by generators that left."},
      {"troupe_ledger_handed_over_tokens_total", counter, "tokens",
       "Tokens of those: sampled once, and another generator went on from them."},
      {"troupe_ledger_duplicate_rollouts_total", counter, "rollouts",
       "Rollouts delivered more than once."},
      {"troupe_ledger_imbalance", gauge, "rollouts and tokens",
       "Rollouts plus tokens that the ledger cannot place (absolute); must be 0."},
      {"troupe_ledger_staleness_bound_versions", gauge, "versions",
       "The bound: highest lag allowed."},
      {"troupe_ledger_max_lag_versions", gauge, "versions", "Highest lag of a trained token."},
      {"troupe_ledger_tokens_beyond_bound_total", counter, "tokens",
       "Trained tokens older than the staleness bound; must stay 0."},
  };
}

/// From records, but for stale_trained_total.
std::vector<MetricDefinition> learner_metrics() {
  return {
      {"troupe_learner_updates_total", counter, "updates", "Updates published by rl stages."},
      {"troupe_learner_version", gauge, "version", "Newest published policy version."},
      {"troupe_learner_update_seconds",
       histogram,
       "seconds",
       "Time of one update, by phase.",
       "phase",
       kMilliToMinutes,
       {"wait", "train"}},
      {"troupe_learner_wait_for_data_seconds_total", counter, "seconds",
       "Time waited for batches."},
      {"troupe_learner_trained_tokens_total", counter, "tokens", "Completion tokens trained on."},
      {"troupe_learner_staleness_versions", histogram, "versions", "Lag of each trained token.", "",
       kVersions},
      {"troupe_learner_stale_trained_total", counter, "tokens",
       "Tokens beyond the bound that the learner's own check found; must stay 0."},
      {"troupe_learner_importance_ratio", histogram, "ratio",
       "Mean importance ratio of each update.", "", kRatios},
      {"troupe_learner_clip_fraction_ratio", gauge, "ratio",
       "Share of tokens clipped in the newest update."},
      {"troupe_learner_approx_kl", gauge, "nats",
       "KL divergence from the behaviour policy, newest update, in nats."},
      {"troupe_learner_entropy_nats", gauge, "nats", "Entropy per token of the newest update."},
      {"troupe_learner_grad_norm", gauge, "1", "Gradient norm before clipping, newest update."},
      {"troupe_learner_train_gen_logprob_gap", histogram, "nats",
       "Mean gap in nats between the learner's and the generator's log-probs, per update.", "",
       kGapNats},
      {"troupe_learner_train_gen_logprob_gap_highest", gauge, "nats",
       "Highest gap in nats of a token in the newest update."},
      {"troupe_learner_nan_updates_total", counter, "updates", "Updates refused as not finite."},
  };
}

std::vector<MetricDefinition> broadcaster_metrics() {
  return {
      {"troupe_broadcaster_subscriber_lag_versions", gauge, "versions",
       "Versions a generator is behind.", "actor"},
      {"troupe_broadcaster_version", gauge, "version", "Newest published policy version."},
      {"troupe_broadcaster_handed_total", counter, "versions",
       "Versions handed out, one for each receiver."},
      {"troupe_broadcaster_fetched_total",
       counter,
       "versions",
       "Versions that came in from another process, by whose: the broadcaster's, the learner's, "
       "another generator's, or that with the gate, which all join at.",
       "source",
       {},
       {"broadcaster", "learner", "generator", "gate"}},
      {"troupe_broadcaster_bytes_total",
       counter,
       "bytes",
       "Bytes of weights handed out; pointer: within the process.",
       "carrier",
       {},
       {"pointer", "memfd", "delta", "stream"}},
  };
}

/// Of every actor.
std::vector<MetricDefinition> actor_metrics() {
  return {
      {"troupe_actor_mailbox_depth", gauge, "messages", "Messages that wait in the mailbox.",
       "actor"},
      {"troupe_actor_message_seconds", histogram, "seconds",
       "Time to handle one message or answer, waiting not included.", "actor", kMicroToSeconds},
      {"troupe_actor_credits_available", gauge, "rollouts",
       "Items the actor may still ask for or send.", "actor"},
      {"troupe_actor_dropped_messages_total",
       counter,
       "messages",
       "Messages refused, not understood or not answered in time, by reason.",
       "reason",
       {},
       {"unexpected", "timeout", "already_waiting", "stage_over", "version_not_newer",
        "digest_mismatch"}},
      {"troupe_actor_restarts_total", counter, "restarts", "Restarts by the director.", "actor"},
      {"troupe_actor_last_progress_timestamp_seconds", gauge, "unix seconds",
       "Unix time of the actor's last progress (from progress()).", "actor"},
      {"troupe_actor_idle_ratio", gauge, "ratio",
       "Share of this stage the actor waited (from its activity log).", "actor"},
  };
}

/// Of links between processes.
std::vector<MetricDefinition> link_metrics() {
  return {
      {"troupe_link_peer_connected", gauge, "0 or 1",
       "1 while the peer's link is there, 0 while it is away.", "peer"},
      {"troupe_link_reconnects_total", counter, "joins", "Joins of a peer after its first.",
       "peer"},
      {"troupe_link_tls",
       gauge,
       "0 or 1",
       "1 for the way in which this process's links are made.",
       "mode",
       {},
       {"mutual-tls-1.3", "insecure"}},
      {"troupe_link_certificate_expiry_timestamp_seconds", gauge, "unix seconds",
       "When this process's certificate ends, as it lies there.", "name"},
  };
}

/// From records.
std::vector<MetricDefinition> run_metrics() {
  return {
      {"troupe_run_stage", gauge, "index", "Index of the running stage."},
      {"troupe_run_update", gauge, "updates", "Updates of the running stage done."},
      {"troupe_run_updates_planned", gauge, "updates", "Updates the running stage will make."},
      {"troupe_run_paused", gauge, "0 or 1", "1 while somebody has paused the run."},
      {"troupe_run_pass_rate", gauge, "ratio", "Share of the newest batch that passed."},
      {"troupe_run_format_rate", gauge, "ratio", "Share of the newest batch in the right format."},
      {"troupe_run_response_length_tokens", gauge, "tokens",
       "Mean completion length of the newest batch."},
      {"troupe_run_signal_ratio", gauge, "ratio", "Share of groups whose rewards differ."},
      {"troupe_run_supervised_loss_nats", gauge, "nats",
       "Loss per token of a pretrain or sft stage."},
      {"troupe_evaluation_pass_rate",
       gauge,
       "ratio",
       "Pass rate on held-out prompts, by decoding mode.",
       "mode",
       {},
       {"sampled", "greedy"}},
      {"troupe_evaluation_format_rate", gauge, "ratio",
       "Share of held-out completions in the right format."},
      {"troupe_evaluation_response_length_tokens", gauge, "tokens",
       "Mean completion length on held-out prompts."},
  };
}

/// From records: whether what is learnt is what the reward is meant to pay for.
std::vector<MetricDefinition> trust_metrics() {
  return {
      {"troupe_trust_reward_mean", gauge, "reward",
       "Mean reward over the newest batch, by what is trained on.", "env"},
      {"troupe_trust_holdout_reward_mean", gauge, "reward",
       "Mean reward on held-out prompts, sampled, as last measured.", "env"},
      {"troupe_trust_reward_gap", gauge, "reward",
       "Mean reward of the newest batch minus that on held-out prompts of the same stage; 0 while "
       "one of them is not known."},
  };
}

/// Of a broadcaster, as its learner sees it.
std::vector<MetricDefinition> publish_metrics() {
  return {
      {"troupe_broadcaster_publish_seconds", histogram, "seconds",
       "Time until every generator holds a version.", "", kMilliToMinutes},
  };
}

/// Of weights that were taken.
std::vector<MetricDefinition> receive_metrics() {
  return {
      {"troupe_broadcaster_checksum_mismatch_total", counter, "versions",
       "Versions whose digest did not match."},
  };
}

/// Of links between processes, where they are listened for.
std::vector<MetricDefinition> gate_metrics() {
  return {
      {"troupe_link_closed_total", counter, "sessions", "Sessions that ended, by reason.",
       "reason"},
      {"troupe_link_refused_total", counter, "connections",
       "Connections that were not let in, by reason.", "reason"},
      {"troupe_link_fenced_total", counter, "peers",
       "Peers that came back after their lease had ended."},
  };
}

/// Of those that are shown token by token.
std::vector<MetricDefinition> shown_metrics() {
  return {
      {"troupe_run_rollouts_not_shown_total",
       counter,
       "rollouts",
       "Rollouts of an update that were to be shown and are not, by reason.",
       "reason",
       {},
       {"too_large", "backlog", "refused", "forgotten", "unknown_token"}},
  };
}

/// Of the model in the run directory.
std::vector<MetricDefinition> saved_metrics() {
  return {
      {"troupe_learner_checkpoint_seconds", histogram, "seconds", "Time to save a model.", "",
       kMilliToMinutes},
      {"troupe_learner_checkpoint_age_seconds", gauge, "seconds",
       "Time since a model was last saved; since the run began if none was."},
  };
}

/// Of a process.
std::vector<MetricDefinition> process_metrics() {
  return {
      {"troupe_run_events_total", counter, "events",
       "Restarts, refusals, gates and errors, by kind.", "kind"},
      {"troupe_build_info", gauge, "0 or 1", "Always 1; the label describes the build.", "build"},
      {"troupe_run_disk_free_bytes", gauge, "bytes", "Free space where the run directory is."},
  };
}

std::vector<MetricDefinition> make_list() {
  std::vector<MetricDefinition> list;
  const auto add = [&list](const std::vector<std::string>& roles,
                           const std::vector<MetricDefinition>& metrics) {
    for (const MetricDefinition& metric : metrics) list.emplace_back(metric).roles = roles;
  };
  add({"generator"}, generator_metrics());
  add({"verifier"}, verifier_metrics());
  add({"replay-buffer"}, replay_metrics());
  add({"replay-buffer"}, ledger_metrics());
  add({"learner"}, learner_metrics());
  add({"broadcaster"}, broadcaster_metrics());
  add(kRoles, actor_metrics());
  add(kRoles, link_metrics());
  add({"learner"}, publish_metrics());
  add({"generator", "broadcaster"}, receive_metrics());
  add({"director", "broadcaster"}, gate_metrics());
  add({"learner", "replay-buffer", "director"}, shown_metrics());
  add({"director"}, saved_metrics());
  add({"director"}, run_metrics());
  add({"director"}, trust_metrics());
  add(kRoles, process_metrics());
  return list;
}

}  // namespace

const std::vector<MetricDefinition>& metric_list() {
  static const std::vector<MetricDefinition> list = make_list();
  return list;
}

}  // namespace troupe
