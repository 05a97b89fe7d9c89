#include "actors/telemetry/closing_text.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <sstream>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

std::string line_with(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(part) != std::string::npos) return line;
  return "";
}

}  // namespace

TEST_CASE("the closing table has before and after in aligned columns") {
  const std::string text = closing_text(sample_run(), "runs/demo/report.html");
  CHECK(line_with(text, "pass rate, sampled") ==
        "  held-out pass rate, sampled          0.310     0.990");
  CHECK(line_with(text, "pass rate, greedy") ==
        "  held-out pass rate, greedy           0.630     1.000");
  CHECK(line_with(text, "format rate") == "  format rate                          0.780     1.000");
  CHECK(line_with(text, "response length") ==
        "  mean response length, tokens          18.1      30.0");
  CHECK(line_with(text, "log-prob gap").find("2.0e-07 / 3.4e-06") != std::string::npos);
  CHECK(line_with(text, "highest lag").find("2 (bound 2)") != std::string::npos);
  CHECK(line_with(text, "ledger").find("balanced: 100 rollouts, 3000 tokens") != std::string::npos);
  CHECK(line_with(text, "report:") == "  report: runs/demo/report.html");
}

TEST_CASE("three completions before and after are shown on a line each") {
  RunLog run = sample_run();
  auto& samples = run.stages[1].record->samples_after;
  samples = {{"1+1=", "first", "2", "pass", 1},
             {"1+1=", "second\nline\x1b[31m", "2", "pass", 1},
             {"1+1=", std::string(500, 'x'), "2", "fail", 0},
             {"1+1=", "fourth", "2", "fail", 0}};
  const std::string text = closing_text(run, "r");
  CHECK(line_with(text, "<answer>999") == "    12+34=  <answer>999</answer>  [fail]");
  CHECK(line_with(text, "first") == "    1+1=  first  [pass]");
  CHECK(line_with(text, "second") == "    1+1=  second line [31m  [pass]");
  CHECK(line_with(text, "xxx").size() < 100);
  CHECK(text.find("fourth") == std::string::npos);
}

TEST_CASE("a ledger that does not balance is said so") {
  RunLog run = sample_run();
  run.stages[1].record->ledger.imbalance_rollouts = -3;
  CHECK(line_with(closing_text(run, "r"), "ledger").find("NOT balanced: -3 rollouts, 0 tokens") !=
        std::string::npos);
}

TEST_CASE("a run without any evaluation still names its report") {
  RunLog run = sample_run();
  run.stages.clear();
  run.ended = "interrupted";
  const std::string text = closing_text(run, "r.html");
  CHECK(text.find("demo interrupted after 33.0 s") != std::string::npos);
  CHECK(text.find("report: r.html") != std::string::npos);
}

}  // namespace troupe
