#include "actors/telemetry/report.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the report has the run's name as title and every figure") {
  const std::string html = report_html(sample_run());
  CHECK(contains(html, "<title>demo</title>"));
  for (const char* chart :
       {"Reward", "Pass rate", "Response length", "Entropy", "Clip fraction", "Log-prob gap", "Lag",
        "Gradient norm", "Idle", "Who worked and who waited", "A close look", "Loss", "Gate"}) {
    CAPTURE(chart);
    CHECK(contains(html, std::string("<b>").append(chart) + "</b>"));
  }
}

TEST_CASE("the table before and after and the lag and the idle shares have the right numbers") {
  const std::string html = report_html(sample_run());
  CHECK(contains(html, "<td>pass rate, sampled</td><td>0.310</td><td>0.990</td>"));
  CHECK(contains(html, "<td>pass rate, greedy</td><td>0.630</td><td>1.000</td>"));
  CHECK(contains(html, "<td>mean response length, tokens</td><td>18.1</td><td>30.0</td>"));
  CHECK(contains(
      html, "<span>lag 2</span><i class='bar' style='--w:100.00%'></i><span>25k (50%)</span>"));
  CHECK(contains(html,
                 "<span>generator-0</span><i class='bar' style='--w:25.00%'></i><span>25%</span>"));
  CHECK(contains(html, "<td class=left>restart</td><td class='left wrap'>generator-0 died</td>"));
}

TEST_CASE("the ledger is shown term by term with its imbalance") {
  RunLog run = sample_run();
  CHECK(contains(report_html(run), "<td>+ dropped: zero_signal</td><td>14</td><td>420</td>"));
  CHECK(contains(report_html(run), "<td>imbalance (must be 0)</td><td>0</td><td>0</td>"));
  run.stages[1].record->ledger.imbalance_rollouts = -3;
  const std::string html = report_html(run);
  CHECK(contains(html, "<td>imbalance (must be 0)</td><td>-3</td><td>0</td>"));
  CHECK(contains(html, "<div class='tile bad'><b>3</b><span>ledger imbalance</span>"));
}

TEST_CASE("tokens beyond the bound stand out in the lag chart") {
  RunLog run = sample_run();
  RolloutUpdateRecord late = sample_update(51);
  late.lag_histogram = {0, 0, 0, 7};
  run.add(late);
  CHECK(contains(report_html(run), "<span>lag 3</span><i class='bad'"));
}

TEST_CASE("refused updates are marked beneath the reward") {
  RunLog run = sample_run();
  CHECK_FALSE(contains(report_html(run), "<circle class='d7'"));
  RolloutUpdateRecord refused = sample_update(51);
  refused.refused = true;
  run.add(refused);
  CHECK(contains(report_html(run), "<circle class='d7'"));
}

TEST_CASE("hostile text in samples and names and events and config is only text") {
  RunLog run = sample_run();
  const std::string attack = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>";
  run.name = run.model_description = run.ended = run.config_digest = attack;
  run.config_json = attack;
  run.events[0] = {1, attack, attack};
  run.stages[1].name = run.stages[1].record->name = attack;
  run.stages[1].record->samples_after = {{attack, attack, attack, attack, 0}};
  run.stages[1].record->ledger.dropped_rollouts[attack] = 1;
  run.stages[1].record->actors[attack] = {1, 1};
  run.actors[0].actor = attack;
  const std::string html = report_html(run);
  CHECK_FALSE(contains(html, "<script"));
  CHECK_FALSE(contains(html, "<img"));
  CHECK(contains(html, "&lt;script&gt;alert(1)&lt;/script&gt;"));
}

TEST_CASE("the report names the run by its id") {
  CHECK(contains(report_html(sample_run()), "run 00112233445566778899aabbccddeeff<"));
}

TEST_CASE("the report asks nobody for anything") {
  const std::string html = report_html(sample_run());
  for (const char* part : {"http://", "https://", "src=", "@import", "url("}) {
    CAPTURE(part);
    CHECK_FALSE(contains(html, part));
  }
  CHECK(contains(html, "default-src 'none'"));
}

TEST_CASE("the report stays small however long the run and the completions were") {
  RunLog run = sample_run();
  StageLog& stage = run.stages[1];
  for (std::int32_t i = 51; i <= 20000; ++i) stage.add(sample_update(i));
  stage.record->samples_after.assign(500, {"p", std::string(100000, '<'), "a", "fail", 0});
  run.events.assign(5000, {1, "restart", "x"});
  for (auto& actor : run.actors) {
    actor.spans.clear();
    for (int i = 0; i < 50000; ++i)
      actor.spans.push_back({"p", i % 2 == 0, 20 + i * 2.5e-4, 20 + (i + 1) * 2.5e-4});
  }
  CHECK(report_html(run).size() < 600000);
}

TEST_CASE("a run that has just begun has a report") {
  RunLog run;
  run.name = "empty";
  CHECK(contains(report_html(run), "<h1>empty"));
  run.stages.push_back(StageLog{.kind = "rl", .name = "rl"});
  run.add(sample_update(1));
  CHECK(contains(report_html(run), "Stage rl"));
}

}  // namespace troupe
