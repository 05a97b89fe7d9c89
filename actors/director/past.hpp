#pragma once
// What a run already knows when its director comes: the one before it was lost.
#include "actors/telemetry/records.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

namespace troupe {

/// A measurement that a director has made.
struct EvaluationNote {
  enum class Place : std::uint8_t { before, during, after };  // of, in or after the stage's updates
  std::uint32_t stage = 0;                                    // index in the config
  Place place = Place::before;
  EvaluationRecord record;
  std::vector<SampleRecord> samples;

  bool same_as(const EvaluationNote& other) const {
    return stage == other.stage && place == other.place &&
           (place != Place::during || record.update == other.record.update);
  }
};

/// Empty in a run that begins.
struct Past {
  std::set<std::uint32_t> begun;  // stages that the conductor was told to run
  std::vector<EvaluationNote> evaluations;
  double began_before = 0;  // seconds that the run is older than this process

  bool has_begun(std::size_t stage) const {
    return begun.contains(static_cast<std::uint32_t>(stage));
  }
  bool has_begun_after(std::size_t stage) const {
    return !begun.empty() && *begun.rbegin() > stage;
  }
  /// The newest update in the midst of a stage that was measured; 0: none.
  std::int32_t measured_update(std::size_t stage) const {
    std::int32_t newest = 0;
    for (const EvaluationNote& note : evaluations)
      if (note.stage == stage && note.place == EvaluationNote::Place::during)
        newest = std::max(newest, note.record.update);
    return newest;
  }
  /// Null: it was not measured.
  const EvaluationNote* find(std::size_t stage, EvaluationNote::Place place) const {
    const auto found = std::find_if(
        evaluations.begin(), evaluations.end(),
        [&](const EvaluationNote& note) { return note.stage == stage && note.place == place; });
    return found == evaluations.end() ? nullptr : &*found;
  }
};

}  // namespace troupe
