#include "actors/cli/compare_runs.hpp"

#include "actors/dashboard/run_reader.hpp"
#include "actors/telemetry/charts.hpp"
#include "actors/telemetry/report_style.hpp"
#include "actors/telemetry/text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <toml++/toml.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kColumns = 28;  // of a value

std::string whole_file(const fs::path& file, const char* remedy) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf()))
    throw std::runtime_error(file.string() + ": cannot be read; " + remedy);
  return text.str();
}

Json read_summary(const fs::path& file) {
  const std::string text =
      whole_file(file, "is that a run directory, and has its run ended (also by Ctrl-C)?");
  Json summary = Json::parse(text, nullptr, false);
  if (!summary.is_object() || !summary.contains("stages") || !summary["stages"].is_array())
    throw std::runtime_error(file.string() + ": is not a summary of Troupe; see deploy/summary.md");
  return summary;
}

std::string as_text(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

void flatten(const toml::table& table, const std::string& section,
             std::map<std::string, std::string>& into) {
  for (const auto& [key, node] : table)
    into[section + "." + std::string(key.str())] = as_text(node);
}

std::map<std::string, std::string> read_config(const fs::path& file) {
  std::map<std::string, std::string> config;
  const std::string text = whole_file(file, "every run directory has the config that it ran");
  try {
    const toml::table root = toml::parse(text, file.string());
    for (const auto& [name, node] : root) {
      if (const toml::table* section = node.as_table())
        flatten(*section, std::string(name.str()), config);
      if (const toml::array* stages = node.as_array())
        for (const toml::node& stage : *stages)
          if (const toml::table* keys = stage.as_table())
            flatten(*keys, "stage." + (*keys)["name"].value_or(std::string("?")), config);
    }
  } catch (const toml::parse_error& error) {
    throw std::runtime_error(file.string() + ": is no TOML: " + std::string(error.description()));
  }
  return config;
}

using Curves = std::map<std::string, RunFiles::Curve>;

/// What is drawn of the updates of an rl stage.
const std::vector<std::pair<const char*, double RolloutUpdateRecord::*>>& drawn_figures() {
  using Record = RolloutUpdateRecord;
  static const std::vector<std::pair<const char*, double Record::*>> figures = {
      {"reward_mean", &Record::reward_mean},
      {"pass_rate", &Record::pass_rate},
      {"mean_response_tokens", &Record::response_tokens_mean},
      {"entropy", &Record::entropy},
      {"kl_behaviour", &Record::kl_behaviour},
      {"gradient_norm", &Record::gradient_norm},
      {"signal_share", &Record::signal_share},
      {"log_prob_gap", &Record::log_prob_gap_mean}};
  return figures;
}

Curves curves_of(const StageLog& stage) {
  Curves curves;
  for (const RolloutUpdateRecord& update : stage.curve())
    for (const auto& [name, figure] : drawn_figures())
      curves[name].emplace_back(update.update, update.*figure);
  for (const EvaluationRecord& evaluation : stage.evaluations.kept()) {
    curves["pass_rate_sampled"].emplace_back(evaluation.update, evaluation.pass_rate_sampled);
    curves["pass_rate_greedy"].emplace_back(evaluation.update, evaluation.pass_rate_greedy);
  }
  return curves;
}

// Tables.

/// What a path of keys leads to, as people read it; "-" where there is nothing.
std::string value_at(const Json& from, const std::vector<std::string>& path) {
  const Json* at = &from;
  for (const std::string& key : path) {
    if (!at->is_object() || !at->contains(key)) return "-";
    at = &(*at)[key];
  }
  if (at->is_string()) return one_line(at->get<std::string>(), kColumns);
  if (at->is_number_integer()) return std::to_string(at->get<std::int64_t>());
  return at->is_number() ? short_number(at->get<double>()) : "-";
}

std::string total_at(const Json& from, const char* key) {
  if (!from.contains(key) || !from[key].is_object()) return "-";
  std::int64_t total = 0;
  for (const auto& [reason, count] : from[key].items())
    if (count.is_number_integer()) total += count.get<std::int64_t>();
  return std::to_string(total);
}

using Figure = std::function<std::string(const Json&)>;

Figure at(std::vector<std::string> path) {
  return [path = std::move(path)](const Json& from) { return value_at(from, path); };
}

const std::vector<std::pair<std::string, Figure>>& run_figures() {
  static const std::vector<std::pair<std::string, Figure>> figures = {
      {"ended", at({"ended"})},
      {"wall, s", at({"wall_seconds"})},
      {"peak memory, bytes", at({"peak_memory_bytes"})},
      {"model", at({"model"})},
      {"build", at({"build"})}};
  return figures;
}

const std::vector<std::pair<std::string, Figure>>& stage_figures() {
  static const std::vector<std::pair<std::string, Figure>> figures = {
      {"ended", at({"ended"})},
      {"updates", at({"updates"})},
      {"wall, s", at({"wall_seconds"})},
      {"pass rate sampled, before", at({"before", "pass_rate_sampled"})},
      {"pass rate sampled, after", at({"after", "pass_rate_sampled"})},
      {"pass rate greedy, before", at({"before", "pass_rate_greedy"})},
      {"pass rate greedy, after", at({"after", "pass_rate_greedy"})},
      {"format rate, after", at({"after", "format_rate"})},
      {"mean response tokens, after", at({"after", "mean_response_tokens"})},
      {"loss", at({"loss"})},
      {"gate share", at({"gate_share"})},
      {"trained tokens", at({"trained_tokens"})},
      {"dropped tokens", [](const Json& stage) { return total_at(stage, "dropped_tokens"); }},
      {"highest lag", at({"max_lag"})},
      {"tokens beyond the bound", at({"tokens_beyond_bound"})},
      {"ledger imbalance", at({"ledger_imbalance"})},
      {"log-prob gap, mean", at({"log_prob_gap", "mean"})},
      {"generator tokens/s", at({"generator_tokens_per_second"})},
      {"learner tokens/s", at({"learner_tokens_per_second"})},
      {"learner idle", at({"idle_ratio", "learner"})}};
  return figures;
}

void add_row(Comparison::Table& table, ComparisonRow row) {
  const bool any = std::any_of(row.values.begin(), row.values.end(),
                               [](const std::string& value) { return value != "-"; });
  if (any) table.rows.push_back(std::move(row));
}

const Json* stage_of(const RunFiles& run, const std::string& name) {
  for (const Json& stage : run.summary["stages"])
    if (stage.is_object() && stage.value("name", "") == name) return &stage;
  return nullptr;
}

std::vector<std::string> stage_names(const std::vector<RunFiles>& runs) {
  std::vector<std::string> names;
  for (const RunFiles& run : runs)
    for (const Json& stage : run.summary["stages"]) {
      const std::string name = stage.is_object() ? stage.value("name", "") : "";
      if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
    }
  return names;
}

Comparison::Table config_that_differs(const std::vector<RunFiles>& runs) {
  Comparison::Table table{"config, where it differs", {}};
  std::set<std::string> keys;
  for (const RunFiles& run : runs)
    for (const auto& [key, value] : run.config) keys.insert(key);
  for (const std::string& key : keys) {
    ComparisonRow row{key, {}};
    for (const RunFiles& run : runs) {
      const auto found = run.config.find(key);
      row.values.push_back(found == run.config.end() ? "-" : one_line(found->second, kColumns));
    }
    const auto& first = row.values.front();
    if (std::any_of(row.values.begin(), row.values.end(),
                    [&](const std::string& value) { return value != first; }))
      table.rows.push_back(std::move(row));
  }
  return table;
}

// The page.

std::string html_table(const Comparison& comparison, const Comparison::Table& table) {
  std::string out = "<h2>" + escape_html(table.title) + "</h2><div class=scroll><table><tr><th>";
  for (const std::string& run : comparison.runs) out += "<th>" + escape_html(run);
  for (const ComparisonRow& row : table.rows) {
    out += "<tr><td>" + escape_html(row.name);
    for (const std::string& value : row.values) out += "<td>" + escape_html(value);
  }
  return out + "</table></div>";
}

std::string html_charts(const std::string& stage, const std::vector<RunFiles>& runs) {
  constexpr std::size_t kMostPoints = 400;
  std::vector<std::string> keys;
  for (const RunFiles& run : runs)
    if (const auto found = run.curves.find(stage); found != run.curves.end())
      for (const auto& [key, curve] : found->second)
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  std::string out;
  for (const std::string& key : keys) {
    LineChart chart{key, "by update", {}, {}, {}};
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const auto curves = runs[i].curves.find(stage);
      if (curves == runs[i].curves.end()) continue;
      const auto curve = curves->second.find(key);
      if (curve != curves->second.end())
        chart.series.push_back({runs[i].name, thinned(curve->second, kMostPoints),
                                static_cast<int>(i % kMostColours) + 1});
    }
    out += line_chart(chart);
  }
  return out.empty() ? "" : "<div class=grid>" + out + "</div>";
}

}  // namespace

RunFiles read_run_files(const fs::path& directory) {
  RunFiles run;
  const fs::path whole = fs::absolute(directory).lexically_normal();
  run.name =
      whole.has_filename() ? whole.filename().string() : whole.parent_path().filename().string();
  run.summary = read_summary(directory / "summary.json");
  run.config = read_config(directory / "config.toml");
  for (const StageLog& stage : read_run(directory).stages)
    if (Curves curves = curves_of(stage); !curves.empty())
      run.curves[stage.name] = std::move(curves);
  return run;
}

Comparison compare(const std::vector<RunFiles>& runs) {
  Comparison comparison;
  for (const RunFiles& run : runs) comparison.runs.push_back(run.name);
  Comparison::Table whole{"run", {}};
  for (const auto& [name, figure] : run_figures()) {
    ComparisonRow row{name, {}};
    for (const RunFiles& run : runs) row.values.push_back(figure(run.summary));
    add_row(whole, std::move(row));
  }
  comparison.tables.push_back(std::move(whole));
  for (const std::string& name : stage_names(runs)) {
    Comparison::Table table{"stage " + name, {}};
    for (const auto& [figure_name, figure] : stage_figures()) {
      ComparisonRow row{figure_name, {}};
      for (const RunFiles& run : runs) {
        const Json* stage = stage_of(run, name);
        row.values.push_back(stage ? figure(*stage) : "-");
      }
      add_row(table, std::move(row));
    }
    comparison.tables.push_back(std::move(table));
  }
  if (runs.size() > 1) comparison.tables.push_back(config_that_differs(runs));
  return comparison;
}

std::string comparison_text(const Comparison& comparison) {
  std::size_t names = 0;
  std::vector<std::size_t> widths;
  for (const std::string& run : comparison.runs) widths.push_back(columns(run));
  for (const auto& table : comparison.tables)
    for (const ComparisonRow& row : table.rows) {
      names = std::max(names, columns(row.name));
      for (std::size_t i = 0; i < widths.size(); ++i)
        widths[i] = std::max(widths[i], columns(row.values[i]));
    }
  const auto line = [&](const std::string& name, const std::vector<std::string>& values) {
    std::string text = "  " + pad_right(name, names);
    for (std::size_t i = 0; i < values.size(); ++i) text += "  " + pad_left(values[i], widths[i]);
    return text + "\n";
  };
  std::string text = line("", comparison.runs);
  for (const auto& table : comparison.tables) {
    text += "\n" + table.title + (table.rows.empty() ? ": nothing" : "") + "\n";
    for (const ComparisonRow& row : table.rows) text += line(row.name, row.values);
  }
  return text;
}

std::string comparison_html(const Comparison& comparison, const std::vector<RunFiles>& runs) {
  std::string title;
  for (const std::string& run : comparison.runs) title += (title.empty() ? "" : ", ") + run;
  std::string out =
      "<!doctype html><html lang=en><head><meta charset=utf-8>"
      "<meta name=viewport content='width=device-width,initial-scale=1'><title>" +
      escape_html(title) + "</title><style>" + kReportStyle + "</style></head><body><h1>" +
      escape_html(title) + "</h1>";
  for (const auto& table : comparison.tables) {
    out += html_table(comparison, table);
    constexpr std::string_view kStage = "stage ";
    if (table.title.starts_with(kStage))
      out += html_charts(table.title.substr(kStage.size()), runs);
  }
  return out + "</body></html>\n";
}

}  // namespace troupe
