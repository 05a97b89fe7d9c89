#pragma once
// Runs side by side, from the files in their run directories alone.
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// What a run directory says of its run.
struct RunFiles {
  std::string name;  // of the directory
  nlohmann::ordered_json summary;
  std::map<std::string, std::string>
      config;  // "generator.count" -> "2", stages as "stage.NAME.key"
  /// Of each rl stage by name: its figures by name, as (update, value).
  using Curve = std::vector<std::pair<double, double>>;
  std::map<std::string, std::map<std::string, Curve>> curves;
};

/// Errors: throws std::runtime_error naming the file, what is wrong with it and the remedy.
RunFiles read_run_files(const std::filesystem::path& directory);

struct ComparisonRow {
  std::string name;
  std::vector<std::string> values;  // one per run; "-": it has none
};

struct Comparison {
  std::vector<std::string> runs;
  struct Table {
    std::string title;
    std::vector<ComparisonRow> rows;
  };
  std::vector<Table> tables;  // the run as a whole, each stage, the config where it differs
};

/// Stages are matched by name; one that only some runs have is a table all the same.
Comparison compare(const std::vector<RunFiles>& runs);

std::string comparison_text(const Comparison& comparison);
/// A page like report.html: the tables, and curves of every rl stage with a colour per run.
std::string comparison_html(const Comparison& comparison, const std::vector<RunFiles>& runs);
inline constexpr std::size_t kMostColours = 8;

}  // namespace troupe
