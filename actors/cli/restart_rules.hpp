#pragma once
// When a process that died is started again.
#include <cstdint>
#include <optional>

namespace troupe {

/// Of one process. Knows no clock: it is told how long the process lived.
struct RestartRules {
  std::int32_t limit = 10;  // short lives in a row; one more and it is given up
  double first_seconds = 0.2,
         longest_seconds = 5;     // of a pause, which doubles with each short life
  double long_life_seconds = 30;  // forgets the short lives before
  std::int32_t short_lives = 0;

  /// The pause before the next start in seconds; nothing: it is given up.
  std::optional<double> died_after(double life_seconds);
};

}  // namespace troupe
