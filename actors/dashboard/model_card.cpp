#include "actors/dashboard/model_card.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// In a table's cell: names come from configs.
std::string cell(std::string text) {
  for (char& c : text)
    if (c == '|' || c == '\n' || c == '\r') c = ' ';
  return text;
}

std::string newest_digest(const RunLog& run) {
  for (auto stage = run.stages.rbegin(); stage != run.stages.rend(); ++stage)
    if (!stage->rollout_updates.empty()) return stage->rollout_updates.back().weights_digest;
  return "";
}

Json config_of(const RunLog& run) {
  return Json::parse(run.config_json, nullptr, false);
}

std::string training(const RunLog& run) {
  std::string text =
      "## Training\n\n| stage | kind | updates | seconds | ended |\n|---|---|---|---|---|\n";
  for (const StageLog& stage : run.stages) {
    const bool over = stage.end.has_value();
    text += fmt::format("| {} | {} | {} | {} | {} |\n", cell(stage.name), cell(stage.kind),
                        stage.updates_done(),
                        over ? fmt::format("{:.0f}", *stage.end - stage.begin) : "",
                        over ? cell(stage.record ? stage.record->ended : "yes") : "goes on");
  }
  const Json config = config_of(run);
  if (config.is_object() && config.contains("task") && config["task"].is_object())
    text += fmt::format("\nPrompts: `{}`. Rewards come from rules.\n",
                        config["task"].value("kind", std::string("unknown")));
  return text;
}

std::string evaluation_row(const char* when, const EvaluationRecord& e) {
  return fmt::format("| {} | {:.3f} | {:.3f} | {:.3f} | {:.1f} | {} |\n", when, e.pass_rate_sampled,
                     e.pass_rate_greedy, e.format_rate, e.mean_response_tokens, e.prompts);
}

std::string figures(const RunLog& run) {
  const StageLog* stage = run.main_stage();
  const auto all = stage == nullptr ? std::vector<EvaluationRecord>() : stage->all_evaluations();
  if (all.empty()) return "## Evaluation\n\nNot evaluated.\n";
  std::string text =
      "## Evaluation\n\nHeld-out prompts, which no stage trains on.\n\n| | passed, sampled | "
      "passed, greedy | format | tokens | prompts |\n|---|---|---|---|---|---|\n";
  if (all.size() > 1)
    text += evaluation_row(fmt::format("update {}", all.front().update).c_str(), all.front());
  return text + evaluation_row(fmt::format("update {}", all.back().update).c_str(), all.back());
}

std::string provenance(const RunLog& run) {
  std::string text =
      fmt::format("## Provenance\n\n- run: {}\n- config digest: `{}`\n- build: {}\n- started: {}\n",
                  run.name, run.config_digest, run.build_description, run.started);
  if (!run.finished.empty()) text += "- ended: " + run.finished + " (" + run.ended + ")\n";
  if (const auto seed = run.seed()) text += fmt::format("- seed: {}\n", *seed);
  const std::string digest = newest_digest(run);
  if (!digest.empty()) text += "- digest of the weights last published: `" + digest + "`\n";
  return text;
}

std::string cautions(const RunLog& run) {
  std::string text =
      "## To mind\n\n- Rewards are those of the run's rules; what the rules do not ask for was not "
      "trained for and not tested.\n- Not tested for safety, bias or what its data may hold.\n";
  const StageLog* stage = run.main_stage();
  if (stage == nullptr || stage->rollout_updates.empty()) return text;
  const LedgerRecord& ledger = stage->ledger;
  return text + fmt::format(
                    "- Off-policy: the oldest token trained on lagged {} versions; {} were "
                    "beyond the bound; the ledger {}.\n",
                    ledger.max_lag, ledger.tokens_beyond_bound,
                    imbalance(ledger) == 0 ? "balances" : "does not balance");
}

}  // namespace

std::string model_card(const RunLog& run) {
  const bool rl = std::any_of(run.stages.begin(), run.stages.end(),
                              [](const StageLog& stage) { return stage.kind == "rl"; });
  return fmt::format(
      "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [troupe{}]\n---\n\n"
      "# {}\n\n{}. Trained with Troupe.\n\n{}\n{}\n{}\n{}",
      rl ? ", reinforcement-learning" : "", run.name, run.model_description, training(run),
      figures(run), provenance(run), cautions(run));
}

Json run_manifest(const RunLog& run, const fs::path& run_directory) {
  Json json;
  const auto add = [&json](const char* name, const std::string& value) {
    if (!value.empty()) json[name] = value;
  };
  add("run", run.name);
  add("run_id", run.id);
  add("config_digest", run.config_digest);
  add("model", run.model_description);
  add("build", run.build_description);
  add("started_at", run.started);
  add("ended", run.ended);
  add("weights_digest", newest_digest(run));
  if (Json config = config_of(run); config.is_object()) json["config"] = std::move(config);
  std::vector<std::pair<std::string, std::uintmax_t>> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(run_directory, error))
    if (std::error_code gone; entry.is_regular_file(gone))
      files.emplace_back(fs::relative(entry.path(), run_directory, gone).string(),
                         entry.file_size(gone));
  std::sort(files.begin(), files.end());
  json["files"] = Json::array();
  for (const auto& [name, bytes] : files)
    json["files"].push_back({{"name", name}, {"bytes", bytes}});
  return json;
}

}  // namespace troupe
