#pragma once
// When a process is of use (/readyz).
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// What a process of these roles, none of them with the gate, must have first; as Telemetry::meets names it.
std::vector<std::string> needs_of(const std::set<std::string>& roles);

}  // namespace troupe
