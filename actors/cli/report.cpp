#include "actors/cli/commands.hpp"
#include "actors/cli/compare_runs.hpp"
#include "gpu/model/atomic_file.hpp"

#include <iostream>

namespace troupe {

namespace {

nlohmann::ordered_json as_json(const Comparison& comparison) {
  nlohmann::ordered_json json = {{"runs", comparison.runs}};
  for (const auto& table : comparison.tables) {
    auto& rows = json["tables"][table.title] = nlohmann::ordered_json::object();
    for (const ComparisonRow& row : table.rows) rows[row.name] = row.values;
  }
  return json;
}

}  // namespace

int report(const ReportOptions& options) {
  if (!options.html.empty() && options.runs.size() > kMostColours) {
    std::cerr << "troupe: a page compares at most " << kMostColours << " runs, and these are "
              << options.runs.size() << "; name fewer, or leave out --html\n";
    return exit_bad_input;
  }
  std::vector<RunFiles> runs;
  for (const std::filesystem::path& directory : options.runs)
    runs.push_back(read_run_files(directory));
  const Comparison comparison = compare(runs);
  if (!options.html.empty()) {
    gpu::write_atomically(options.html, comparison_html(comparison, runs));
    std::cerr << "page: " << options.html.string() << "\n";
  }
  std::cout << (options.json ? as_json(comparison).dump(2) + "\n" : comparison_text(comparison))
            << std::flush;
  return exit_ok;
}

}  // namespace troupe
