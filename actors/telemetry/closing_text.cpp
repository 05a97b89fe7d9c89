#include "actors/telemetry/closing_text.hpp"

#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace troupe {

namespace {

constexpr std::size_t kNameColumns = 32, kFigureColumns = 10, kSamples = 3;
constexpr std::size_t kPromptColumns = 24, kResponseColumns = 72;

std::string row(std::string_view name, std::string_view before, std::string_view after) {
  return "  " + pad_right(name, kNameColumns) + pad_left(before, kFigureColumns) +
         pad_left(after, kFigureColumns) + "\n";
}

std::string figure(const std::optional<EvaluationRecord>& evaluation,
                   double EvaluationRecord::*field, const char* format) {
  return evaluation ? fmt::format(fmt::runtime(format), *evaluation.*field) : "-";
}

std::string evaluation_rows(const StageRecord& stage) {
  const auto line = [&](std::string_view name, double EvaluationRecord::*field,
                        const char* format) {
    return row(name, figure(stage.before, field, format), figure(stage.after, field, format));
  };
  return row("", "before", "after") +
         line("held-out pass rate, sampled", &EvaluationRecord::pass_rate_sampled, "{:.3f}") +
         line("held-out pass rate, greedy", &EvaluationRecord::pass_rate_greedy, "{:.3f}") +
         line("format rate", &EvaluationRecord::format_rate, "{:.3f}") +
         line("mean response length, tokens", &EvaluationRecord::mean_response_tokens, "{:.1f}");
}

std::string rl_rows(const RunLog& run, const StageRecord& stage) {
  const auto line = [](std::string_view name, const std::string& value) {
    return "  " + pad_right(name, kNameColumns) + "  " + value + "\n";
  };
  const auto& ledger = stage.ledger;
  const auto bound = run.staleness_bound();
  const std::string balance = imbalance(ledger) == 0
                                  ? fmt::format("balanced: {} rollouts, {} tokens",
                                                ledger.generated_rollouts, ledger.generated_tokens)
                                  : fmt::format("NOT balanced: {} rollouts, {} tokens missing",
                                                ledger.imbalance_rollouts, ledger.imbalance_tokens);
  return line("log-prob gap in nats, mean / max", short_number(stage.log_prob_gap_mean) + " / " +
                                                      short_number(stage.log_prob_gap_max)) +
         line("highest lag seen",
              std::to_string(ledger.max_lag) + (bound ? fmt::format(" (bound {})", *bound) : "")) +
         line("ledger", balance);
}

std::string sample_rows(const char* title, const std::vector<SampleRecord>& samples) {
  if (samples.empty()) return "";
  std::string out = std::string("\n  ") + title + "\n";
  const std::size_t shown = std::min(samples.size(), kSamples);
  std::size_t prompt_columns = 0;
  for (std::size_t i = 0; i < shown; ++i)
    prompt_columns = std::max(prompt_columns, columns(one_line(samples[i].prompt, kPromptColumns)));
  for (std::size_t i = 0; i < shown; ++i)
    out += "    " + pad_right(one_line(samples[i].prompt, kPromptColumns), prompt_columns) + "  " +
           one_line(samples[i].response, kResponseColumns) + "  [" +
           one_line(samples[i].outcome, kPromptColumns) + "]\n";
  return out;
}

}  // namespace

std::string closing_text(const RunLog& run, const std::string& report_path) {
  std::string out =
      fmt::format("\n{} {} after {}\n", run.name, run.ended, duration_text(run.wall_seconds));
  if (const StageLog* stage = run.main_stage()) {
    const StageRecord result = stage->result(run.wall_seconds);
    out += fmt::format("\n  stage {}: {} updates in {}\n", result.name, result.updates,
                       duration_text(result.wall_seconds));
    out += evaluation_rows(result);
    if (result.kind == "rl") out += rl_rows(run, result);
    out += sample_rows("completions before", result.samples_before);
    out += sample_rows("completions after", result.samples_after);
  }
  return out + "\n  report: " + report_path + "\n";
}

}  // namespace troupe
