#include "actors/cli/commands.hpp"
#include "actors/cli/control_socket.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

namespace troupe {

int scale(const ScaleOptions& options) {
  nlohmann::json question = nlohmann::json::object();
  if (options.generators) question["generators"] = *options.generators;
  if (options.verifiers) question["verifiers"] = *options.verifiers;
  const nlohmann::json answer = ask_control_socket(options.run_directory, question);
  if (answer.contains("error")) {
    std::cerr << "troupe: " << answer["error"].get<std::string>() << "\n";
    return exit_failed;
  }
  for (const char* role : {"generators", "verifiers", "leaving"}) {
    std::cout << role << ":";
    for (const auto& name : answer.at(role)) std::cout << " " << name.get<std::string>();
    std::cout << "\n";
  }
  return exit_ok;
}

}  // namespace troupe
