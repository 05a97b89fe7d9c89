#include "actors/link/learner_codec.hpp"

#include <cmath>
#include <kj/debug.h>

namespace troupe {
namespace {

double finite(double figure) {
  KJ_REQUIRE(std::isfinite(figure), "a figure that is not finite");
  return figure;
}
std::int32_t count(std::int32_t figure) {
  KJ_REQUIRE(figure >= 0, "a negative count");
  return figure;
}
std::vector<std::uint64_t> read_list(capnp::List<std::uint64_t>::Reader from) {
  std::vector<std::uint64_t> values;
  for (const std::uint64_t value : from) values.push_back(value);
  return values;
}
template <class Init>
void write_list(const std::vector<std::uint64_t>& values, Init init) {
  auto list = init(static_cast<unsigned>(values.size()));
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, values[i]);
}

}  // namespace

TrainedReport read_report(wire::TrainedReport::Reader from) {
  return {from.getVersion(), from.getHadBatch(), from.getBatch(), from.getRefused()};
}

void write(const TrainedReport& report, wire::TrainedReport::Builder to) {
  to.setVersion(report.version);
  to.setHadBatch(report.had_batch);
  to.setBatch(report.batch);
  to.setRefused(report.refused);
}

Batch read_head(wire::BatchHead::Reader from) {
  Batch batch;
  batch.id = from.getId();
  batch.version = from.getVersion();
  batch.facts = {from.getAllGroups(),
                 from.getGroupsWithSignal(),
                 from.getAllRollouts(),
                 finite(from.getRewardMean()),
                 finite(from.getPassRate()),
                 finite(from.getFormatRate()),
                 finite(from.getResponseTokensMean())};
  batch.lag_histogram = read_list(from.getLagHistogram());
  return batch;
}

void write(const Batch& batch, wire::BatchHead::Builder to) {
  to.setId(batch.id);
  to.setVersion(batch.version);
  to.setGroups(static_cast<std::uint32_t>(batch.groups.size()));
  to.setAllGroups(batch.facts.groups);
  to.setGroupsWithSignal(batch.facts.groups_with_signal);
  to.setAllRollouts(batch.facts.rollouts);
  to.setRewardMean(batch.facts.reward_mean);
  to.setPassRate(batch.facts.pass_rate);
  to.setFormatRate(batch.facts.format_rate);
  to.setResponseTokensMean(batch.facts.response_tokens_mean);
  write_list(batch.lag_histogram, [&](unsigned size) { return to.initLagHistogram(size); });
}

RolloutUpdateRecord read_record(wire::UpdateRecord::Reader from) {
  RolloutUpdateRecord record;
  record.stage = count(from.getStage());
  record.update = count(from.getUpdate());
  record.updates = count(from.getUpdates());
  record.version = from.getVersion();
  record.reward_mean = finite(from.getRewardMean());
  record.pass_rate = finite(from.getPassRate());
  record.format_rate = finite(from.getFormatRate());
  record.response_tokens_mean = finite(from.getResponseTokensMean());
  record.signal_share = finite(from.getSignalShare());
  record.objective = finite(from.getObjective());
  record.entropy = finite(from.getEntropy());
  record.kl_behaviour = finite(from.getKlBehaviour());
  record.kl_reference = finite(from.getKlReference());
  record.clip_fraction_low = finite(from.getClipFractionLow());
  record.clip_fraction_high = finite(from.getClipFractionHigh());
  record.clip_fraction_dual = finite(from.getClipFractionDual());
  record.ratio_mean = finite(from.getRatioMean());
  record.ratio_min = finite(from.getRatioMin());
  record.ratio_max = finite(from.getRatioMax());
  record.effective_sample_size = finite(from.getEffectiveSampleSize());
  record.gradient_norm = finite(from.getGradientNorm());
  record.learning_rate = finite(from.getLearningRate());
  record.log_prob_gap_mean = finite(from.getLogProbGapMean());
  record.log_prob_gap_max = finite(from.getLogProbGapMax());
  record.wait_seconds = finite(from.getWaitSeconds());
  record.train_seconds = finite(from.getTrainSeconds());
  record.log_prob_gap_tokens = from.getLogProbGapTokens();
  record.trained_tokens = from.getTrainedTokens();
  record.trained_rollouts = from.getTrainedRollouts();
  record.trained_groups = from.getTrainedGroups();
  record.lag_histogram = read_list(from.getLagHistogram());
  record.refused = from.getRefused();
  record.weights_digest = from.getWeightsDigest();
  return record;
}

void write(const RolloutUpdateRecord& record, wire::UpdateRecord::Builder to) {
  to.setStage(record.stage);
  to.setUpdate(record.update);
  to.setUpdates(record.updates);
  to.setVersion(record.version);
  to.setRewardMean(record.reward_mean);
  to.setPassRate(record.pass_rate);
  to.setFormatRate(record.format_rate);
  to.setResponseTokensMean(record.response_tokens_mean);
  to.setSignalShare(record.signal_share);
  to.setObjective(record.objective);
  to.setEntropy(record.entropy);
  to.setKlBehaviour(record.kl_behaviour);
  to.setKlReference(record.kl_reference);
  to.setClipFractionLow(record.clip_fraction_low);
  to.setClipFractionHigh(record.clip_fraction_high);
  to.setClipFractionDual(record.clip_fraction_dual);
  to.setRatioMean(record.ratio_mean);
  to.setRatioMin(record.ratio_min);
  to.setRatioMax(record.ratio_max);
  to.setEffectiveSampleSize(record.effective_sample_size);
  to.setGradientNorm(record.gradient_norm);
  to.setLearningRate(record.learning_rate);
  to.setLogProbGapMean(record.log_prob_gap_mean);
  to.setLogProbGapMax(record.log_prob_gap_max);
  to.setWaitSeconds(record.wait_seconds);
  to.setTrainSeconds(record.train_seconds);
  to.setLogProbGapTokens(record.log_prob_gap_tokens);
  to.setTrainedTokens(record.trained_tokens);
  to.setTrainedRollouts(record.trained_rollouts);
  to.setTrainedGroups(record.trained_groups);
  write_list(record.lag_histogram, [&](unsigned size) { return to.initLagHistogram(size); });
  to.setRefused(record.refused);
  to.setWeightsDigest(record.weights_digest);
}

SupervisedRecord read_record(wire::SupervisedRecord::Reader from) {
  SupervisedRecord record;
  record.stage = count(from.getStage());
  record.update = count(from.getUpdate());
  record.updates = count(from.getUpdates());
  record.loss = finite(from.getLoss());
  record.learning_rate = finite(from.getLearningRate());
  record.gradient_norm = finite(from.getGradientNorm());
  record.positions_per_second = finite(from.getPositionsPerSecond());
  if (from.getHasGateShare()) record.gate_share = finite(from.getGateShare());
  record.gate = finite(from.getGate());
  record.gate_limit = count(from.getGateLimit());
  return record;
}

void write(const SupervisedRecord& record, wire::SupervisedRecord::Builder to) {
  to.setStage(record.stage);
  to.setUpdate(record.update);
  to.setUpdates(record.updates);
  to.setLoss(record.loss);
  to.setLearningRate(record.learning_rate);
  to.setGradientNorm(record.gradient_norm);
  to.setPositionsPerSecond(record.positions_per_second);
  to.setHasGateShare(record.gate_share.has_value());
  to.setGateShare(record.gate_share.value_or(0));
  to.setGate(record.gate);
  to.setGateLimit(record.gate_limit);
}

RemoteOutcome read_outcome(wire::LearnerOutcome::Reader from) {
  RemoteOutcome read;
  read.version = from.getVersion();
  read.outcome.updates = count(from.getUpdates());
  read.outcome.refused_updates = count(from.getRefusedUpdates());
  read.outcome.gap = {finite(from.getGapSum()), finite(from.getGapMax()), from.getGapTokens()};
  read.outcome.loss = finite(from.getLoss());
  if (from.getHasGateShare()) read.outcome.gate_share = finite(from.getGateShare());
  read.outcome.failure = from.getFailure();
  read.outcome.stopped = from.getStopped();
  read.time = {finite(from.getBusySeconds()), finite(from.getIdleSeconds())};
  return read;
}

void write(const RemoteOutcome& ended, wire::LearnerOutcome::Builder to) {
  to.setVersion(ended.version);
  to.setUpdates(ended.outcome.updates);
  to.setRefusedUpdates(ended.outcome.refused_updates);
  to.setGapSum(ended.outcome.gap.sum);
  to.setGapMax(ended.outcome.gap.max);
  to.setGapTokens(ended.outcome.gap.tokens);
  to.setLoss(ended.outcome.loss);
  to.setHasGateShare(ended.outcome.gate_share.has_value());
  to.setGateShare(ended.outcome.gate_share.value_or(0));
  to.setFailure(ended.outcome.failure);
  to.setStopped(ended.outcome.stopped);
  to.setBusySeconds(ended.time.busy_seconds);
  to.setIdleSeconds(ended.time.idle_seconds);
}

}  // namespace troupe
