#pragma once
// What a process that is gone has already said of the run that another goes on with. Plain.
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace troupe {

/// Lines of metrics.jsonl. A line is the same whenever it was written: times do not count.
struct Told {
  std::optional<std::pair<std::int32_t, std::int32_t>> newest;  // stage and update; none: no update
  std::map<std::string, int> others;                            // lines of other kinds, how often
  double age_seconds = 0;                                       // since the last line

  bool has(std::int32_t stage, std::int32_t update) const {
    return newest && std::pair(stage, update) <= *newest;
  }
  /// Whether such a line is among the others; each counts once.
  bool take(const std::string& line);
};

/// Of the file as it is; nothing of one that is not there. A line that was cut short counts as not said.
Told read_told(const std::filesystem::path& metrics_jsonl);

}  // namespace troupe
