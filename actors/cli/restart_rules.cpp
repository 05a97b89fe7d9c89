#include "actors/cli/restart_rules.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

std::optional<double> RestartRules::died_after(double life_seconds) {
  if (life_seconds >= long_life_seconds) short_lives = 0;
  if (short_lives >= limit) return std::nullopt;
  return std::min(longest_seconds, first_seconds * std::exp2(short_lives++));
}

}  // namespace troupe
