#pragma once
// What no single key can tell: values that contradict each other, and values that are known to end
// badly.
#include "actors/config/config.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace troupe::config {

/// Where something was said. An override is on line 0 and its `file` names the override.
struct Place {
  std::string file;
  std::uint32_t line = 0, column = 0;
};

/// What was read from where. Keys are written "section.key", those of stages "stage.N.key" with N
/// from 1.
struct Record {
  std::map<std::string, Place> set;  // keys that were given
  std::set<std::string>
      refused;  // given, but their value was not taken: nothing is concluded from them
  std::vector<Place> stages;
  Place file;
};

std::string stage_key(std::size_t index, const std::string& key);

/// Appends what is wrong, and what is only unwise, with a config whose keys have been read. Looks
/// at the disk for model.path. device_problem: as in load_config.
void check(const Config& config, const Record& record, const DeviceProblem& device_problem,
           std::vector<ConfigProblem>& problems, std::vector<ConfigProblem>& warnings);

}  // namespace troupe::config
