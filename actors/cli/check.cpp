#include "actors/cli/commands.hpp"
#include "actors/config/config.hpp"
#include "gpu/device.hpp"
#include "gpu/error.hpp"

#include <iostream>

namespace troupe {
namespace {

std::string device_problem(const std::string& device) {
  try {
    gpu::resolve_device(device);
    return {};
  } catch (const gpu::Error& error) {
    return error.what();
  }
}

}  // namespace

int check(const std::filesystem::path& file, const std::vector<std::string>& overrides, bool json) {
  const ConfigResult result = load_config(file, overrides, device_problem);
  for (const ConfigProblem& warning : result.warnings)
    std::cerr << "warning: " << render(warning) << "\n";
  if (!json)
    for (const ConfigProblem& problem : result.problems) std::cerr << render(problem) << "\n";
  if (!result.problems.empty()) {
    std::cerr << result.problems.size()
              << (result.problems.size() == 1 ? " problem\n" : " problems\n");
    if (json) std::cout << problems_json(result.problems) << "\n";
    return exit_bad_input;
  }
  std::cout << (json ? config_json(result.config) + "\n" : print_config(result.config));
  return exit_ok;
}

}  // namespace troupe
