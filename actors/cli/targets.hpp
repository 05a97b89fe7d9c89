#pragma once
// Where the processes of a run serve their metrics, as a file that Prometheus watches (file_sd_configs).
#include "actors/telemetry/telemetry.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace troupe {

/// RUN_DIRECTORY/targets.json: one entry for each process that is there, labelled with its role, its name as instance, and
/// the run. Used by one thread.
class Targets {
 public:
  explicit Targets(const std::filesystem::path& run_directory);

  /// Where a process of that name is to write its address, by write_address(). What one before it wrote is gone.
  std::filesystem::path expect(const std::string& name, const std::string& role);
  void remove(const std::string& name);
  /// The run is over: whoever scrapes it is to stop.
  void clear();
  /// Takes in what was written since; the file is written anew, in one step, if anything has changed.
  void update();

 private:
  struct Target {
    std::string role, address;  // address empty: not written yet
  };
  std::filesystem::path address_file(const std::string& name) const;
  void write() const;

  const std::filesystem::path directory_;
  std::map<std::string, Target> targets_;  // by name
  bool changed_ = true;
};

/// A process that is to tell where its metrics are serves some. Nothing with an empty file, as below.
void serve_metrics_for(const std::filesystem::path& file, TelemetryOptions& options);
/// Writes where they are; appears at once or not at all. Who listens everywhere is called at loopback.
void tell_metrics_address(const std::filesystem::path& file, const Telemetry& telemetry);

}  // namespace troupe
