#include "actors/cli/needs.hpp"

namespace troupe {

std::vector<std::string> needs_of(const std::set<std::string>& roles) {
  std::vector<std::string> needs;
  if (roles.size() == 1) needs.push_back("link");
  if (roles.size() > 1)
    for (const std::string& role : roles) needs.push_back("link of " + role);
  if (roles.contains("generator")) needs.push_back("weights");
  if (roles.contains("learner")) needs.push_back("stage");
  if (roles.contains("broadcaster")) needs.push_back("cast");
  return needs;
}

}  // namespace troupe
