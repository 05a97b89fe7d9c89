#pragma once
// Whether a run kept its promises: the invariants I1 to I17 as far as its files tell.
#include "tests/chaos/run_files.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe::chaos {

struct Finding {
  enum class State { holds, broken, not_checked };
  std::string invariant;  // "I2"
  State state = State::holds;
  std::string text;  // what was checked, the first witness, or why nothing was checked
};

/// What the files alone do not say.
struct Expectations {
  std::optional<std::uint64_t> memory_bytes;  // I11: most that the director's process may have used
  double recovery_seconds = 30;               // I12: from the last fault to an update
  const Run* clean = nullptr;                 // I13: a run of the same config without faults
  const Run* twin = nullptr;                  // I16: a run that must have made the same weights
};

/// One finding for each invariant, in order.
std::vector<Finding> check(const Run& run, const Expectations& expected);

/// Largest distance between the distributions of two samples, and what it stays below with probability 0.999 if both
/// are of one distribution, taken as `first_groups` and `second_groups` independent values (rollouts of one prompt are
/// alike). Two-sample Kolmogorov-Smirnov test, Smirnov (1948).
struct Distance {
  double distance = 0, limit = 0;
};
Distance length_distance(std::vector<std::uint64_t> first, std::size_t first_groups,
                         std::vector<std::uint64_t> second, std::size_t second_groups);

// Each in a file of its kind; used by check().
Finding check_damage(const Run& run);                                  // I10
Finding check_duplicates(const Run& run);                              // I2
Finding check_conservation(const Run& run);                            // I3
Finding check_staleness(const Run& run);                               // I4
Finding check_versions(const Run& run);                                // I5
Finding check_weights(const Run& run);                                 // I8
Finding check_memory(const Run& run, const Expectations& expected);    // I11
Finding check_liveness(const Run& run, const Expectations& expected);  // I12
Finding check_lengths(const Run& run, const Expectations& expected);   // I13
Finding check_lineage(const Run& run);                                 // I14
Finding check_twin(const Run& run, const Expectations& expected);      // I16
Finding check_exits(const Run& run);                                   // I17

}  // namespace troupe::chaos
