#pragma once
// How busy the roles were and what waited for them, every two seconds of a run: load.jsonl and what the page draws of it.
#include "actors/dashboard/bottleneck.hpp"
#include "actors/telemetry/line_file.hpp"
#include "actors/telemetry/thinned.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct LoadSample {
  double seconds = 0;  // since the run's start, at its end
  std::optional<double> generators, verifiers,
      learner;  // share of the time since the sample before that they waited
  std::optional<double> at_verifiers, buffered, in_flight;  // rollouts
};

/// {"seconds", "idle": {role: share}, "rollouts": {where: count}}; what is not known is absent.
nlohmann::ordered_json load_json(const LoadSample& sample);
/// Nothing if the line is torn, or of something else.
std::optional<LoadSample> load_of_line(const std::string& line);

/// Times that actors report grow until a stage begins; a sample takes what was added.
class LoadMeter {
 public:
  RoleShares since_before(const std::map<std::string, ActorTime>& now);

 private:
  std::map<std::string, ActorTime> before_;
};

/// Of what an actor told at two times: what lies between. A later stage counts from its beginning.
ActorTime time_between(const ActorTime& then, const ActorTime& now);

/// Used under its owner's lock.
class LoadHistory {
 public:
  LoadHistory() = default;  // nothing is written
  /// Replaces the file.
  explicit LoadHistory(const std::filesystem::path& file)
      : file_(std::make_shared<LineFile>(file)) {}
  void add(const LoadSample& sample);
  const Thinned<LoadSample>& samples() const { return samples_; }

 private:
  std::shared_ptr<LineFile> file_;  // of this and its copies
  std::uint64_t bytes_ = 0;
  Thinned<LoadSample> samples_;
};

/// Of a run directory; empty if there is no load.jsonl.
LoadHistory read_load(const std::filesystem::path& run_directory);

/// {"columns": [...], "samples": [[seconds, ...], ...]}; what is not known is null.
nlohmann::ordered_json load_history_json(const Thinned<LoadSample>& samples);

}  // namespace troupe
