#include "actors/cli/commands.hpp"
#include "actors/config/config.hpp"

#include <iostream>

namespace troupe {

int check(const std::filesystem::path& file, const std::vector<std::string>& overrides, bool json) {
  const ConfigResult result = load_config(file, overrides);
  for (const ConfigProblem& warning : result.warnings)
    std::cerr << "warning: " << render(warning) << "\n";
  for (const ConfigProblem& problem : result.problems) std::cerr << render(problem) << "\n";
  if (!result.problems.empty()) {
    std::cerr << result.problems.size()
              << (result.problems.size() == 1 ? " problem\n" : " problems\n");
    return exit_bad_input;
  }
  std::cout << (json ? config_json(result.config) + "\n" : print_config(result.config));
  return exit_ok;
}

}  // namespace troupe
