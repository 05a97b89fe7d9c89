#include "actors/dashboard/dashboard.hpp"
#include "actors/dashboard/run_reader.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace troupe {
DashboardSource live_source(Telemetry& telemetry) {
  DashboardSource source;
  source.look = [&telemetry](const auto& look) { telemetry.look_at(look); };
  source.seconds = [&telemetry] { return telemetry.seconds_since_start(); };
  source.actors = [&telemetry] { return telemetry.actors(); };
  source.metrics = [&telemetry] {
    static_cast<void>(telemetry.scrape());  // ages and shares as of now
    return metrics_json(telemetry.metrics());
  };
  source.rollouts = [&telemetry] {
    const RolloutLog* log = telemetry.rollouts();
    return log == nullptr ? std::vector<std::shared_ptr<const RolloutView>>() : log->all();
  };
  source.rollouts_added = [&telemetry]() -> std::uint64_t {
    const RolloutLog* log = telemetry.rollouts();
    return log == nullptr ? 0 : log->added();
  };
  source.run_directory = telemetry.run_directory();
  source.at_verifiers = [&telemetry] { return telemetry.at_verifiers(); };
  source.load = LoadHistory(source.run_directory / "load.jsonl");
  source.paused = [&telemetry] { return telemetry.paused(); };
  source.live = true;
  return source;
}

DashboardSource recorded_source(const std::filesystem::path& run_directory,
                                const std::string& config_json) {
  const auto run = std::make_shared<RunLog>(read_run(run_directory));
  run->config_json = config_json;
  const auto shelf = std::make_shared<const RolloutShelf>(read_rollouts(run_directory));
  DashboardSource source;
  source.look = [run](const auto& look) { look(*run); };
  source.seconds = [run] { return run->wall_seconds; };
  source.rollouts = [shelf] { return shelf->all(); };
  source.rollouts_added = [shelf] { return shelf->added(); };
  source.run_directory = run_directory;
  source.load = read_load(run_directory);
  return source;
}

std::string read_control_token(const std::filesystem::path& file) {
  constexpr std::size_t kLeast = 16;
  namespace fs = std::filesystem;
  std::ifstream in(file);
  if (!in)
    throw std::runtime_error(file.string() +
                             ": cannot be read (metrics.control-token-file); make one: "
                             "(umask 077; openssl rand -hex 16 > FILE)");
  if ((fs::status(file).permissions() & fs::perms::others_all) != fs::perms::none)
    throw std::runtime_error(file.string() +
                             ": others may read it; chmod 600 it "
                             "(metrics.control-token-file)");
  std::string token;
  std::getline(in, token);
  if (token.size() < kLeast)
    throw std::runtime_error(file.string() + ": its first line is shorter than " +
                             std::to_string(kLeast) + " characters (metrics.control-token-file)");
  return token;
}

}  // namespace troupe
