#include "actors/cli/office_plan.hpp"

#include "actors/cli/carried_weights.hpp"
#include "actors/cli/process.hpp"
#include "actors/director/role_plans.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace troupe {

namespace fs = std::filesystem;

OfficePlan office_plan(const Config& config, const Materials& materials, const std::string& name,
                       Telemetry& telemetry) {
  require_fitting_rollouts(config, materials);
  OfficePlan plan;
  plan.listen = config.network.listen == NetworkConfig::kOwnAddress ? config.network.gate()
                                                                    : config.network.listen;
  plan.tls = tls_files(config.network, name, config.network.gate_role());
  plan.limits = config.network.limits;
  plan.terms = {telemetry.run_id(), shared_digest(config), 1};
  plan.lease_seconds = config.network.lease_seconds;
  plan.rollouts_at_once = rollouts_per_message(config, materials);
  plan.broadcaster_apart = config.network.broadcaster_apart();
  plan.relay_fan_out = config.broadcaster.relay == "tree"
                           ? static_cast<std::uint32_t>(config.broadcaster.fan_out)
                           : 0;
  plan.learner_apart = config.network.learner_apart();
  plan.learner_lease_seconds = config.network.learner_lease_seconds;
  plan.weights = carried_weights(config, materials.decoder);
  plan.deadlines = deadlines_of(config);
  plan.telemetry = &telemetry;
  return plan;
}

void write_ready_file(const fs::path& file, const std::string& address, const fs::path& directory) {
  const fs::path fresh = file.string() + ".tmp";
  std::ofstream(fresh) << nlohmann::json{{"address", address},
                                         {"run_directory", fs::absolute(directory).string()},
                                         {"process", getpid()}}
                              .dump()
                       << "\n";
  fs::rename(fresh, file);
}

}  // namespace troupe
