#include "actors/telemetry/report.hpp"

#include "actors/telemetry/charts.hpp"
#include "actors/telemetry/report_style.hpp"
#include "actors/telemetry/text.hpp"
#include "actors/telemetry/timeline.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

namespace troupe {

namespace {

using Points = std::vector<std::pair<double, double>>;
using Updates = std::vector<RolloutUpdateRecord>;

constexpr std::size_t kMostSamples = 12, kMostEvents = 200;
constexpr std::size_t kLongestText = 2000, kLongestConfig = 60000, kMostCells = 6000;

std::string limited(const std::string& text, std::size_t limit = kLongestText) {
  return text.size() <= limit ? escape_html(text) : escape_html(text.substr(0, limit)) + " ...";
}

// Curves of an rl stage.

Points points_of(const Updates& updates,
                 const std::function<double(const RolloutUpdateRecord&)>& y) {
  Points points;
  for (const auto& update : updates) points.emplace_back(update.update, y(update));
  return points;
}

Points points_of(const std::vector<EvaluationRecord>& evaluations, double EvaluationRecord::*y) {
  Points points;
  for (const auto& evaluation : evaluations) points.emplace_back(evaluation.update, evaluation.*y);
  return points;
}

/// Marks on the axis where updates were refused, if any was.
std::vector<Series> with_refused(std::vector<Series> series, const Updates& updates) {
  Points marks;
  for (const auto& update : updates)
    if (update.refused) marks.emplace_back(update.update, 0);
  if (!marks.empty()) series.push_back({"refused", marks, 7, true, false});
  return series;
}

std::string reward_charts(const StageLog& stage, const Updates& u) {
  const auto e = stage.all_evaluations();
  using R = RolloutUpdateRecord;
  return line_chart(
             {"Reward",
              "mean over the batch",
              with_refused({{"reward", points_of(u, [](const R& r) { return r.reward_mean; })}}, u),
              0.0,
              {}}) +
         line_chart(
             {"Pass rate",
              "training batches and held-out prompts",
              {{"training batch", points_of(u, [](const R& r) { return r.pass_rate; })},
               {"held out, sampled", points_of(e, &EvaluationRecord::pass_rate_sampled), 2, true},
               {"held out, greedy", points_of(e, &EvaluationRecord::pass_rate_greedy), 3, true}},
              0.0,
              1.0}) +
         line_chart(
             {"Response length",
              "tokens",
              {{"training batch", points_of(u, [](const R& r) { return r.response_tokens_mean; })},
               {"held out", points_of(e, &EvaluationRecord::mean_response_tokens), 2, true}},
              0.0,
              {}}) +
         line_chart(
             {"Format and signal",
              "share of rollouts, share of groups",
              {{"right format", points_of(u, [](const R& r) { return r.format_rate; })},
               {"groups with signal", points_of(u, [](const R& r) { return r.signal_share; }), 2}},
              0.0,
              1.0});
}

std::string update_charts(const Updates& u) {
  using R = RolloutUpdateRecord;
  return line_chart({"Entropy",
                     "nats per token",
                     {{"entropy", points_of(u, [](const R& r) { return r.entropy; })}},
                     0.0,
                     {}}) +
         line_chart({"Clip fraction",
                     "share of tokens",
                     {{"low", points_of(u, [](const R& r) { return r.clip_fraction_low; })},
                      {"high", points_of(u, [](const R& r) { return r.clip_fraction_high; }), 2},
                      {"dual", points_of(u, [](const R& r) { return r.clip_fraction_dual; }), 3}},
                     0.0,
                     {}}) +
         line_chart({"Log-prob gap",
                     "learner against generator, nats, log scale",
                     {{"highest", points_of(u, [](const R& r) { return r.log_prob_gap_max; })},
                      {"mean", points_of(u, [](const R& r) { return r.log_prob_gap_mean; }), 2}},
                     {},
                     {},
                     true}) +
         line_chart(
             {"KL divergence",
              "nats per token",
              {{"from behaviour", points_of(u, [](const R& r) { return r.kl_behaviour; })},
               {"from reference", points_of(u, [](const R& r) { return r.kl_reference; }), 2}},
              0.0,
              {}}) +
         line_chart({"Importance ratio",
                     "of the batch's tokens",
                     {{"mean", points_of(u, [](const R& r) { return r.ratio_mean; })},
                      {"lowest", points_of(u, [](const R& r) { return r.ratio_min; }), 2},
                      {"highest", points_of(u, [](const R& r) { return r.ratio_max; }), 3}},
                     {},
                     {},
                     true}) +
         line_chart({"Gradient norm",
                     "before clipping",
                     {{"norm", points_of(u, [](const R& r) { return r.gradient_norm; })}},
                     0.0,
                     {}}) +
         line_chart(
             {"Learner's time",
              "seconds per update",
              {{"training", points_of(u, [](const R& r) { return r.train_seconds; })},
               {"waiting for data", points_of(u, [](const R& r) { return r.wait_seconds; }), 2}},
              0.0,
              {}});
}

std::string lag_chart(const std::vector<std::uint64_t>& tokens,
                      std::optional<std::uint64_t> bound) {
  const auto all =
      static_cast<double>(std::accumulate(tokens.begin(), tokens.end(), std::uint64_t{0}));
  std::vector<Bar> bars;
  for (std::size_t lag = 0; lag < tokens.size(); ++lag) {
    const auto count = static_cast<double>(tokens[lag]);
    bars.push_back({fmt::format("lag {}", lag), count,
                    fmt::format("{} ({})", short_number(count), percent(all > 0 ? count / all : 0)),
                    bound && lag > *bound});
  }
  return bar_chart("Lag",
                   bound ? fmt::format("trained tokens by versions of lag; the bound is {}", *bound)
                         : "trained tokens by versions of lag",
                   bars);
}

std::string idle_chart(const std::map<std::string, ActorTime>& actors) {
  std::vector<Bar> bars;
  for (const auto& [actor, time] : actors)
    bars.push_back({actor, time.idle_ratio(), percent(time.idle_ratio())});
  return bar_chart("Idle", "share of the stage each actor waited", bars, 1.0);
}

// The time line.

std::string timelines(const RunLog& run, const StageLog& stage) {
  const double end = stage.end.value_or(run.wall_seconds);
  std::vector<double> marks;
  for (const auto& update : stage.rollout_updates.kept())
    marks.push_back(update.seconds_since_start);
  const std::size_t cells = std::clamp(kMostCells / std::max<std::size_t>(run.actors.size(), 1),
                                       std::size_t{120}, std::size_t{900});
  std::string out =
      timeline("Who worked and who waited", "the whole stage; filled: working, empty: waiting",
               run.actors, stage.begin, end, marks, cells);
  constexpr std::size_t kUpdatesCloseUp = 4;
  if (marks.size() < 2 * kUpdatesCloseUp) return out;
  const std::size_t middle = marks.size() / 2;
  return out + timeline("A close look",
                        "a few updates in the middle of the stage; ticks are updates", run.actors,
                        marks[middle], marks[middle + kUpdatesCloseUp - 1], marks, cells);
}

// Tables.

std::string tile(const std::string& value, const std::string& label, bool bad = false) {
  return fmt::format("<div class='tile{}'><b>{}</b><span>{}</span></div>", bad ? " bad" : "", value,
                     escape_html(label));
}

std::string from_to(const std::optional<EvaluationRecord>& before,
                    const std::optional<EvaluationRecord>& after, double EvaluationRecord::*field,
                    const char* format) {
  const auto one = [&](const auto& e) {
    return e ? fmt::format(fmt::runtime(format), *e.*field) : std::string("-");
  };
  return "<i>" + one(before) + " &rarr;</i> " + one(after);
}

std::string tiles(const RunLog& run, const StageRecord& stage) {
  using E = EvaluationRecord;
  std::string out = "<div class=tiles>";
  if (stage.before || stage.after)
    out += tile(from_to(stage.before, stage.after, &E::pass_rate_sampled, "{:.3f}"),
                "held-out pass rate, sampled") +
           tile(from_to(stage.before, stage.after, &E::pass_rate_greedy, "{:.3f}"),
                "held-out pass rate, greedy") +
           tile(from_to(stage.before, stage.after, &E::mean_response_tokens, "{:.1f}"),
                "mean response length, tokens");
  if (stage.kind == "rl") {
    const auto bound = run.staleness_bound();
    out += tile(
        std::to_string(stage.ledger.max_lag) + (bound ? fmt::format(" <i>of {}</i>", *bound) : ""),
        "highest lag, versions", stage.ledger.tokens_beyond_bound > 0);
    out += tile(std::to_string(imbalance(stage.ledger)), "ledger imbalance",
                imbalance(stage.ledger) != 0);
    out += tile(short_number(stage.log_prob_gap_max), "highest log-prob gap, nats");
  }
  out += tile(duration_text(run.wall_seconds), "wall time of the run");
  return out + "</div>";
}

std::string table_row(std::initializer_list<std::string> cells) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) out += "<td>" + cell + "</td>";
  return out + "</tr>";
}

std::string before_after_table(const StageRecord& stage) {
  if (!stage.before && !stage.after) return "";
  using E = EvaluationRecord;
  const auto one = [](const std::optional<E>& e, double E::*field, const char* format) {
    return e ? fmt::format(fmt::runtime(format), *e.*field) : std::string("-");
  };
  const auto row = [&](const char* name, double E::*field, const char* format) {
    return table_row({name, one(stage.before, field, format), one(stage.after, field, format)});
  };
  return "<h2>Before and after: " + escape_html(stage.name) +
         "</h2><div class=scroll><table><tr><th>on held-out "
         "prompts</th><th>before</th><th>after</th></tr>" +
         row("pass rate, sampled", &E::pass_rate_sampled, "{:.3f}") +
         row("pass rate, greedy", &E::pass_rate_greedy, "{:.3f}") +
         row("format rate", &E::format_rate, "{:.3f}") +
         row("mean response length, tokens", &E::mean_response_tokens, "{:.1f}") + "</table></div>";
}

std::string ledger_table(const LedgerRecord& l) {
  const auto row = [](const std::string& name, auto rollouts, auto tokens) {
    return table_row({name, std::to_string(rollouts), std::to_string(tokens)});
  };
  std::string out =
      "<div class=scroll><table><tr><th>ledger</th><th>rollouts</th><th>tokens</th></tr>";
  out += row("generated", l.generated_rollouts, l.generated_tokens);
  out += row("= trained", l.trained_rollouts, l.trained_tokens);
  out += row("+ buffered", l.buffered_rollouts, l.buffered_tokens);
  out += row("+ in flight", l.in_flight_rollouts, l.in_flight_tokens);
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> dropped;
  for (const auto& [reason, count] : l.dropped_rollouts) dropped[reason].first = count;
  for (const auto& [reason, count] : l.dropped_tokens) dropped[reason].second = count;
  for (const auto& [reason, count] : dropped)
    out += row("+ dropped: " + escape_html(reason), count.first, count.second);
  out += row("imbalance (must be 0)", l.imbalance_rollouts, l.imbalance_tokens) + "</table></div>";
  return out + fmt::format(
                   "<p class=soft>{} open rollouts; {} tickets granted, {} granted again, {} "
                   "duplicates ignored; "
                   "highest lag {}, tokens beyond the bound {}.</p>",
                   l.open_rollouts, l.tickets_granted, l.tickets_reissued, l.duplicate_rollouts,
                   l.max_lag, l.tokens_beyond_bound);
}

std::string stages_table(const RunLog& run) {
  std::string out =
      "<h2>Stages</h2><div class=scroll><table><tr><th>stage</th><th "
      "class=left>kind</th><th>updates</th><th>wall time</th>"
      "<th>generator</th><th>learner</th><th class=left>ended</th></tr>";
  const auto rate = [](double value) {
    return value > 0 ? short_rate(value) + " tok/s" : std::string("-");
  };
  for (const StageLog& log : run.stages) {
    const StageRecord stage = log.result(run.wall_seconds);
    out += fmt::format(
        "<tr><td>{}</td><td class=left>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td "
        "class=left>{}</td></tr>",
        limited(stage.name), limited(stage.kind), stage.updates, duration_text(stage.wall_seconds),
        rate(stage.generator_tokens_per_second), rate(stage.learner_tokens_per_second),
        limited(stage.ended));
  }
  return out + "</table></div>";
}

// Samples, events, config.

std::string sample(const SampleRecord& s) {
  const bool pass = s.outcome == "pass";
  return fmt::format(
      "<div class='sample {}'><p class=mono><span class=soft>{}</span>{}</p>"
      "<p class=soft>{}; answer {}; reward {:.3g}</p></div>",
      pass ? "pass" : "fail", limited(s.prompt), limited(s.response), limited(s.outcome),
      limited(s.answer), s.reward);
}

std::string samples(const StageRecord& stage) {
  if (stage.samples_before.empty() && stage.samples_after.empty()) return "";
  const auto column = [](const char* title, const std::vector<SampleRecord>& list) {
    std::string out = fmt::format("<div><h3>{}</h3>", title);
    for (std::size_t i = 0; i < std::min(list.size(), kMostSamples); ++i) out += sample(list[i]);
    return out + "</div>";
  };
  return "<h2>Completions: " + escape_html(stage.name) + "</h2><div class=pair>" +
         column("Before", stage.samples_before) + column("After", stage.samples_after) + "</div>";
}

std::string events(const RunLog& run) {
  if (run.events.empty()) return "";
  std::string out =
      "<h2>Events</h2><div class=scroll><table><tr><th>time</th><th class=left>kind</th><th "
      "class=left>what</th></tr>";
  const std::size_t first = run.events.size() > kMostEvents ? run.events.size() - kMostEvents : 0;
  for (std::size_t i = first; i < run.events.size(); ++i)
    out +=
        fmt::format("<tr><td>{:.2f} s</td><td class=left>{}</td><td class='left wrap'>{}</td></tr>",
                    run.events[i].seconds_since_start, limited(run.events[i].kind),
                    limited(run.events[i].text));
  return out + "</table></div>";
}

std::string config(const RunLog& run) {
  const auto parsed = nlohmann::ordered_json::parse(run.config_json, nullptr, false);
  const std::string text = parsed.is_discarded() ? run.config_json : dump_json(parsed, 2);
  return "<h2>Config</h2><details><summary>resolved config, digest " + limited(run.config_digest) +
         "</summary><pre>" + limited(text, kLongestConfig) + "</pre></details>";
}

std::string supervised_section(const StageLog& stage) {
  Points loss, gate, rate;
  for (const auto& update : stage.supervised_updates.kept()) {
    loss.emplace_back(update.update, update.loss);
    rate.emplace_back(update.update, update.learning_rate);
  }
  for (const auto& probe : stage.probes.kept()) gate.emplace_back(probe.update, *probe.gate_share);
  return "<h2>Stage " + escape_html(stage.name) + "</h2><div class=grid>" +
         line_chart({"Loss", "nats per token", {{"loss", loss}}, 0.0, {}}) +
         line_chart({"Gate", "share of probes fully right", {{"share", gate, 3, true}}, 0.0, 1.0}) +
         line_chart({"Learning rate", "", {{"rate", rate, 4}}, 0.0, {}}) + "</div>";
}

std::string rl_section(const RunLog& run, const StageLog& stage) {
  const StageRecord result = stage.result(run.wall_seconds);
  const Updates updates = stage.curve();
  return "<h2>Stage " + escape_html(stage.name) + "</h2><div class=grid>" +
         reward_charts(stage, updates) + update_charts(updates) +
         lag_chart(stage.totals.lag_histogram, run.staleness_bound()) + idle_chart(result.actors) +
         "</div><h3>Time line</h3>" + timelines(run, stage) + "<h3>Ledger</h3>" +
         ledger_table(result.ledger);
}

std::string head(const RunLog& run) {
  const bool good = run.ended == "done";
  return "<!doctype html><html lang=en><head><meta charset=utf-8>"
         "<meta name=viewport content='width=device-width,initial-scale=1'>"
         "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">"
         "<title>" +
         limited(run.name) + "</title><style>" + kReportStyle + "</style></head><body><h1>" +
         limited(run.name) +
         fmt::format(" <span class='badge{}'>{}</span></h1>", good ? "" : " bad",
                     limited(run.ended)) +
         (run.id.empty() ? "" : "<p class='soft mono'>run " + limited(run.id) + "</p>") +
         "<p class=soft>" + limited(run.model_description) + "</p><p class=soft>" +
         limited(run.started) + " to " + limited(run.finished) + " &middot; " +
         limited(run.build_description) + "</p>";
}

}  // namespace

std::string report_html(const RunLog& run) {
  std::string out = head(run);
  if (const StageLog* stage = run.main_stage()) {
    const StageRecord result = stage->result(run.wall_seconds);
    out += tiles(run, result) + before_after_table(result) + samples(result);
  }
  // The stage that matters comes first: rl, then what made its base.
  for (auto stage = run.stages.rbegin(); stage != run.stages.rend(); ++stage) {
    if (!stage->rollout_updates.empty()) out += rl_section(run, *stage);
    if (!stage->supervised_updates.empty()) out += supervised_section(*stage);
  }
  return out + stages_table(run) + events(run) + config(run) + "</body></html>\n";
}

}  // namespace troupe
