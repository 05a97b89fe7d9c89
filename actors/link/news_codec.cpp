#include "actors/link/news_codec.hpp"

#include "actors/link/learner_codec.hpp"

#include <cmath>
#include <kj/debug.h>
#include <limits>

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

LengthCounts read_lengths(capnp::List<wire::LengthCount>::Reader from) {
  LengthCounts lengths;
  for (const auto one : from) lengths[one.getUpTo()] = one.getRollouts();
  return lengths;
}
void write(const LengthCounts& lengths, capnp::List<wire::LengthCount>::Builder to) {
  unsigned i = 0;
  for (const auto& [up_to, rollouts] : lengths) {
    auto one = to[i++];
    one.setUpTo(up_to);
    one.setRollouts(rollouts);
  }
}

std::uint64_t value_of(const std::map<std::string, std::uint64_t>& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

StageEnded read_end(wire::StageEnd::Reader from) {
  StageEnded ended;
  ended.has_weights = from.getHasWeights();
  ended.version = from.getVersion();
  ended.end.stage = from.getStage();
  ended.end.failure = from.getFailure();
  StageRecord& record = ended.end.record;
  record.kind = from.getKind();
  record.name = from.getName();
  record.wall_seconds = finite(from.getWallSeconds());
  record.updates = count(from.getUpdates());
  record.refused_updates = count(from.getRefusedUpdates());
  record.ledger = read_ledger(from.getLedger());
  record.log_prob_gap_mean = finite(from.getLogProbGapMean());
  record.log_prob_gap_max = finite(from.getLogProbGapMax());
  for (const auto one : from.getActors())
    record.actors[one.getName()] = {finite(one.getBusySeconds()), finite(one.getIdleSeconds())};
  record.generator_tokens_per_second = finite(from.getGeneratorTokensPerSecond());
  record.learner_tokens_per_second = finite(from.getLearnerTokensPerSecond());
  record.loss = finite(from.getLoss());
  if (from.getHasGateShare()) record.gate_share = finite(from.getGateShare());
  return ended;
}

void write(const StageEnded& ended, wire::StageEnd::Builder to) {
  to.setHasWeights(ended.has_weights);
  to.setVersion(ended.version);
  to.setStage(ended.end.stage);
  to.setFailure(ended.end.failure);
  const StageRecord& record = ended.end.record;
  to.setKind(record.kind);
  to.setName(record.name);
  to.setWallSeconds(record.wall_seconds);
  to.setUpdates(record.updates);
  to.setRefusedUpdates(record.refused_updates);
  write(record.ledger, to.initLedger());
  to.setLogProbGapMean(record.log_prob_gap_mean);
  to.setLogProbGapMax(record.log_prob_gap_max);
  auto actors = to.initActors(static_cast<unsigned>(record.actors.size()));
  unsigned i = 0;
  for (const auto& [name, time] : record.actors) {
    auto one = actors[i++];
    one.setName(name);
    one.setBusySeconds(time.busy_seconds);
    one.setIdleSeconds(time.idle_seconds);
  }
  to.setGeneratorTokensPerSecond(record.generator_tokens_per_second);
  to.setLearnerTokensPerSecond(record.learner_tokens_per_second);
  to.setLoss(record.loss);
  to.setHasGateShare(record.gate_share.has_value());
  to.setGateShare(record.gate_share.value_or(0));
}

struct Writer {
  wire::News::Builder to;

  void operator()(const StageBegun& begun) { to.setBegun(begun.stage); }
  void operator()(const RolloutUpdateRecord& record) { write(record, to.initTrained()); }
  void operator()(const SupervisedRecord& record) { write(record, to.initSupervised()); }
  void operator()(const LedgerRecord& record) { write(record, to.initLedger()); }
  void operator()(const Published& published) {
    auto group = to.initPublished();
    group.setUpdate(published.update);
    group.setVersion(published.version);
  }
  void operator()(const StageEnded& ended) { write(ended, to.initEnded()); }
  void operator()(const EvaluationNote& note) { write(note, to.initEvaluated()); }
  void operator()(const ConductorOver& over) { to.setOver(over.why); }
  void operator()(const EventRecord& event) {
    auto group = to.initHappened();
    group.setKind(event.kind);
    group.setText(event.text);
  }
};

NewsBody read_body(wire::News::Reader from) {
  switch (from.which()) {
    case wire::News::BEGUN:
      return StageBegun{from.getBegun()};
    case wire::News::TRAINED: {
      RolloutUpdateRecord record = read_record(from.getTrained());
      record.seconds_since_start = from.getSeconds();
      return record;
    }
    case wire::News::SUPERVISED: {
      SupervisedRecord record = read_record(from.getSupervised());
      record.seconds_since_start = from.getSeconds();
      return record;
    }
    case wire::News::LEDGER:
      return read_ledger(from.getLedger());
    case wire::News::PUBLISHED:
      return Published{from.getPublished().getUpdate(), from.getPublished().getVersion()};
    case wire::News::ENDED:
      return read_end(from.getEnded());
    case wire::News::EVALUATED:
      return read_note(from.getEvaluated());
    case wire::News::OVER:
      return ConductorOver{from.getOver()};
    case wire::News::HAPPENED:
      return EventRecord{from.getSeconds(), from.getHappened().getKind(),
                         from.getHappened().getText()};
  }
  KJ_FAIL_REQUIRE("news of a kind that is not known here; run one version of Troupe");
}

}  // namespace

News read_news(wire::News::Reader from) {
  finite(from.getSeconds());
  return {from.getNumber(), from.getSeconds(), read_body(from)};
}

void write(const News& news, wire::News::Builder to) {
  to.setNumber(news.number);
  to.setSeconds(news.seconds);
  std::visit(Writer{to}, news.body);
}

EvaluationNote read_note(wire::EvaluationNote::Reader from) {
  EvaluationNote note;
  note.stage = from.getStage();
  KJ_REQUIRE(from.getPlace() <= wire::EvaluationNote::Place::AFTER, "a place that is not known");
  note.place = static_cast<EvaluationNote::Place>(from.getPlace());
  note.record.version = from.getVersion();
  note.record.update = count(from.getUpdate());
  note.record.prompts = count(from.getPrompts());
  note.record.pass_rate_sampled = finite(from.getPassRateSampled());
  note.record.pass_rate_greedy = finite(from.getPassRateGreedy());
  note.record.format_rate = finite(from.getFormatRate());
  note.record.mean_response_tokens = finite(from.getMeanResponseTokens());
  note.record.seconds = finite(from.getSeconds());
  note.record.reward_mean = finite(from.getRewardMean());
  for (const auto one : from.getSamples())
    note.samples.push_back({one.getPrompt(), one.getResponse(), one.getAnswer(), one.getOutcome(),
                            finite(one.getReward())});
  return note;
}

void write(const EvaluationNote& note, wire::EvaluationNote::Builder to) {
  to.setStage(note.stage);
  to.setPlace(static_cast<wire::EvaluationNote::Place>(note.place));
  to.setVersion(note.record.version);
  to.setUpdate(note.record.update);
  to.setPrompts(note.record.prompts);
  to.setPassRateSampled(note.record.pass_rate_sampled);
  to.setPassRateGreedy(note.record.pass_rate_greedy);
  to.setFormatRate(note.record.format_rate);
  to.setMeanResponseTokens(note.record.mean_response_tokens);
  to.setSeconds(note.record.seconds);
  to.setRewardMean(note.record.reward_mean);
  auto samples = to.initSamples(static_cast<unsigned>(note.samples.size()));
  for (unsigned i = 0; i < samples.size(); ++i) {
    auto one = samples[i];
    one.setPrompt(note.samples[i].prompt);
    one.setResponse(note.samples[i].response);
    one.setAnswer(note.samples[i].answer);
    one.setOutcome(note.samples[i].outcome);
    one.setReward(note.samples[i].reward);
  }
}

LedgerRecord read_ledger(wire::LedgerRecord::Reader from) {
  LedgerRecord ledger;
  ledger.open_rollouts = from.getOpenRollouts();
  ledger.generated_rollouts = from.getGeneratedRollouts();
  ledger.trained_rollouts = from.getTrainedRollouts();
  ledger.buffered_rollouts = from.getBufferedRollouts();
  ledger.in_flight_rollouts = from.getInFlightRollouts();
  ledger.generated_tokens = from.getGeneratedTokens();
  ledger.trained_tokens = from.getTrainedTokens();
  ledger.buffered_tokens = from.getBufferedTokens();
  ledger.in_flight_tokens = from.getInFlightTokens();
  for (const auto drop : from.getDropped()) {
    const std::string reason = drop.getReason();
    if (drop.getRollouts() > 0) ledger.dropped_rollouts[reason] = drop.getRollouts();
    if (drop.getTokens() > 0) ledger.dropped_tokens[reason] = drop.getTokens();
    if (drop.getLengths().size() > 0)
      ledger.dropped_lengths[reason] = read_lengths(drop.getLengths());
  }
  ledger.trained_lengths = read_lengths(from.getTrainedLengths());
  ledger.tickets_granted = from.getTicketsGranted();
  ledger.tickets_reissued = from.getTicketsReissued();
  ledger.duplicate_rollouts = from.getDuplicateRollouts();
  ledger.handed_over_rollouts = from.getHandedOverRollouts();
  ledger.handed_over_tokens = from.getHandedOverTokens();
  ledger.max_lag = from.getMaxLag();
  ledger.tokens_beyond_bound = from.getTokensBeyondBound();
  ledger.imbalance_rollouts = from.getImbalanceRollouts();
  ledger.imbalance_tokens = from.getImbalanceTokens();
  return ledger;
}

void write(const LedgerRecord& ledger, wire::LedgerRecord::Builder to) {
  to.setOpenRollouts(ledger.open_rollouts);
  to.setGeneratedRollouts(ledger.generated_rollouts);
  to.setTrainedRollouts(ledger.trained_rollouts);
  to.setBufferedRollouts(ledger.buffered_rollouts);
  to.setInFlightRollouts(ledger.in_flight_rollouts);
  to.setGeneratedTokens(ledger.generated_tokens);
  to.setTrainedTokens(ledger.trained_tokens);
  to.setBufferedTokens(ledger.buffered_tokens);
  to.setInFlightTokens(ledger.in_flight_tokens);
  std::set<std::string> reasons;
  for (const auto& [reason, rollouts] : ledger.dropped_rollouts) reasons.insert(reason);
  for (const auto& [reason, tokens] : ledger.dropped_tokens) reasons.insert(reason);
  for (const auto& [reason, lengths] : ledger.dropped_lengths) reasons.insert(reason);
  auto dropped = to.initDropped(static_cast<unsigned>(reasons.size()));
  unsigned i = 0;
  for (const std::string& reason : reasons) {
    auto drop = dropped[i++];
    drop.setReason(reason);
    drop.setRollouts(value_of(ledger.dropped_rollouts, reason));
    drop.setTokens(value_of(ledger.dropped_tokens, reason));
    const auto lengths = ledger.dropped_lengths.find(reason);
    if (lengths == ledger.dropped_lengths.end()) continue;
    write(lengths->second, drop.initLengths(static_cast<unsigned>(lengths->second.size())));
  }
  write(ledger.trained_lengths,
        to.initTrainedLengths(static_cast<unsigned>(ledger.trained_lengths.size())));
  to.setTicketsGranted(ledger.tickets_granted);
  to.setTicketsReissued(ledger.tickets_reissued);
  to.setDuplicateRollouts(ledger.duplicate_rollouts);
  to.setHandedOverRollouts(ledger.handed_over_rollouts);
  to.setHandedOverTokens(ledger.handed_over_tokens);
  to.setMaxLag(ledger.max_lag);
  to.setTokensBeyondBound(ledger.tokens_beyond_bound);
  to.setImbalanceRollouts(ledger.imbalance_rollouts);
  to.setImbalanceTokens(ledger.imbalance_tokens);
}

}  // namespace troupe
