#include "actors/dashboard/state_json.hpp"

#include "actors/telemetry/metrics_jsonl.hpp"
#include "actors/telemetry/status.hpp"
#include "actors/telemetry/summary.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <prometheus/registry.h>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kEventsShown = 200;
constexpr std::size_t kPromptShown = 80;  // bytes of a row

Json light(const char* name, const char* state, const std::string& text) {
  return {{"name", name}, {"state", state}, {"text", text}};
}

/// What must hold at every moment of a run.
Json lights(const RunLog& run, const StageLog* rl) {
  Json all = Json::array();
  if (rl != nullptr) {
    const std::int64_t astray = imbalance(rl->ledger);
    all.push_back(light("ledger", astray == 0 ? "ok" : "bad",
                        astray == 0 ? "every rollout is accounted for"
                                    : std::to_string(astray) + " rollouts or tokens are astray"));
    const std::uint64_t beyond = rl->ledger.tokens_beyond_bound;
    all.push_back(light("staleness", beyond == 0 ? "ok" : "bad",
                        beyond == 0 ? "no token beyond the bound was trained on"
                                    : std::to_string(beyond) + " tokens beyond the bound"));
    const auto refused = rl->totals.refused;
    all.push_back(light("updates", refused == 0 ? "ok" : "warn",
                        refused == 0 ? "none was refused"
                                     : std::to_string(refused) + " were refused as not finite"));
  }
  const std::uint64_t failures = run.failure_count;
  all.push_back(light("failures", failures == 0 ? "ok" : "bad",
                      failures == 0 ? "none" : std::to_string(failures) + " in the event log"));
  return all;
}

Json stage_json(const StageLog& stage, double now) {
  Json json = {{"index", stage.index},
               {"kind", stage.kind},
               {"name", stage.name},
               {"update", stage.updates_done()},
               {"updates", stage.updates},
               {"seconds", stage.end.value_or(now) - stage.begin},
               {"ended", stage.end.has_value()}};
  StatusView pace;
  pace.update = stage.updates_done();
  pace.updates = stage.updates;
  pace.stage_seconds = now - stage.begin;
  if (!stage.end)
    if (const auto left = pace.seconds_left()) json["seconds_left"] = *left;
  return json;
}

Json evaluations(const StageLog& stage) {
  Json all = Json::array();
  for (const EvaluationRecord& evaluation : stage.all_evaluations()) {
    Json one = evaluation_json(evaluation);
    one["update"] = evaluation.update;
    one["stage"] = stage.index;
    all.push_back(std::move(one));
  }
  return all;
}

Json value_of(const prometheus::ClientMetric& metric, prometheus::MetricType type) {
  return type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
}

}  // namespace

Json run_json(const RunLog& run, double now) {
  Json json = {{"run", run.name},
               {"config_digest", run.config_digest},
               {"model", run.model_description},
               {"build", run.build_description},
               {"started", run.started},
               {"seconds", now}};
  if (!run.id.empty()) json["run_id"] = run.id;
  if (!run.ended.empty()) json["ended"] = run.ended;
  if (const auto bound = run.staleness_bound()) json["staleness_bound"] = *bound;
  json["stages"] = Json::array();
  for (const StageLog& stage : run.stages) json["stages"].push_back(stage_json(stage, now));
  const StageLog* rl = nullptr;
  json["evaluations"] = Json::array();
  for (const StageLog& stage : run.stages) {
    if (stage.kind == "rl" || !stage.rollout_updates.empty()) rl = &stage;
    for (Json& one : evaluations(stage)) json["evaluations"].push_back(std::move(one));
  }
  json["lights"] = lights(run, rl);
  if (rl != nullptr) {
    json["ledger"] = ledger_json(rl->ledger);
    if (!rl->rollout_updates.empty()) {
      json["newest"] = Json::parse(update_line_json(rl->rollout_updates.back()));
      json["version"] = rl->rollout_updates.back().version + 1;
    }
  }
  if (!run.stages.empty() && !run.stages.back().supervised_updates.empty())
    json["supervised"] = Json::parse(update_line_json(run.stages.back().supervised_updates.back()));
  return json;
}

Json actors_json(const std::vector<ActorView>& actors) {
  Json all = Json::array();
  for (const ActorView& actor : actors) {
    if (actor.time.busy_seconds + actor.time.idle_seconds <= 0) continue;
    all.push_back({{"name", actor.name},
                   {"role", role_of(actor.name)},
                   {"phase", actor.phase},
                   {"idle_ratio", actor.time.idle_ratio()}});
    if (actor.version) all.back()["version"] = *actor.version;
    if (actor.away) all.back()["away"] = *actor.away;
  }
  return all;
}

Json peers_json(const std::vector<ActorView>& actors) {
  Json all = Json::array();
  for (const ActorView& actor : actors)
    if (actor.away)
      all.push_back({{"name", actor.name}, {"role", role_of(actor.name)}, {"away", *actor.away}});
  return all;
}

Json bottleneck_json(const RoleShares& shares) {
  const Bottleneck found = bottleneck(shares);
  Json json = {{"role", found.role}, {"sentence", found.sentence}, {"shares", Json::object()}};
  const auto add = [&](const char* role, const std::optional<double>& share) {
    if (share) json["shares"][role] = *share;
  };
  add("generators", shares.generators);
  add("verifiers", shares.verifiers);
  add("learner", shares.learner);
  json["counts"] = {{"generators", shares.generator_count}, {"verifiers", shares.verifier_count}};
  return json;
}

Json metrics_json(Metrics& metrics) {
  Json all = Json::object();
  for (const auto& family : metrics.registry().Collect()) {
    if (family.type != prometheus::MetricType::Counter &&
        family.type != prometheus::MetricType::Gauge)
      continue;
    for (const auto& metric : family.metric) {
      if (metric.label.empty()) {
        all[family.name] = value_of(metric, family.type);
      } else {
        all[family.name][metric.label.front().value] = value_of(metric, family.type);
      }
    }
  }
  return all;
}

Json events_json(const RunLog& run) {
  const std::size_t first = run.events.size() - std::min(run.events.size(), kEventsShown);
  Json newest = Json::array();
  for (std::size_t i = first; i < run.events.size(); ++i)
    newest.push_back({{"seconds", run.events[i].seconds_since_start},
                      {"kind", run.events[i].kind},
                      {"text", run.events[i].text}});
  return {{"count", run.event_count}, {"newest", newest}};
}

Json rollout_row(const RolloutView& rollout) {
  std::string prompt;
  for (std::size_t i = 0; i < rollout.prompt_tokens && prompt.size() < kPromptShown; ++i)
    prompt += rollout.pieces[i];
  Json row = {{"id", rollout.id},           {"stage", rollout.stage},
              {"update", rollout.update},   {"reward", rollout.reward},
              {"outcome", rollout.outcome}, {"tokens", rollout.completion_tokens},
              {"lag", rollout.lag()},       {"prompt", prompt},
              {"flagged", flagged(rollout)}};
  if (const auto gap = rollout.gap()) row["gap"] = *gap;
  return row;
}

}  // namespace troupe
