#include "actors/cli/rank_plans.hpp"

#include "actors/cli/process.hpp"
#include "actors/director/learner_plans.hpp"
#include "gpu/error.hpp"
#include "gpu/model/manifest.hpp"
#include "gpu/transport/nccl_device.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace troupe {
namespace {

CommunicatorUse communicator_use(const std::string& name) {
  if (name == "ring") return CommunicatorUse::ring;
  return name == "nccl" ? CommunicatorUse::nccl : CommunicatorUse::automatic;
}

/// Where the config may want NCCL: its library, or why there is none here.
void open_for_ranks(const Config& config, RankCirclePlan& plan) {
  if (plan.communicator == CommunicatorUse::ring) return;
  try {
    plan.nccl = gpu::open_nccl(config.broadcaster.nccl_library, config.run.device);
  } catch (const gpu::Error& error) {
    plan.nccl_problem = error.what();
  }
}

/// Where a rank listens for the others; empty: at its address. Rank 0 with a gate for the broadcaster has that at the port
/// of network.listen, so it takes the host from there and the port from its address.
std::string rank_listen(const NetworkConfig& network, int rank,
                        const std::vector<std::string>& addresses) {
  if (network.listen == NetworkConfig::kOwnAddress) return "";
  if (rank != 0 || !network.learner_has_gate()) return network.listen;
  const std::string& own = addresses.front();
  return network.listen.substr(0, network.listen.rfind(':')) + own.substr(own.rfind(':'));
}

}  // namespace

RankCirclePlan rank_circle_plan(const Surroundings& around, const std::string& name) {
  const Config& config = around.config;
  RankCirclePlan plan;
  plan.rank = rank_of_name(name);
  plan.addresses = config.network.rank_addresses();
  if (plan.rank >= config.learner.ranks)
    throw std::runtime_error(
        name + " would be rank " + std::to_string(plan.rank) + " of " +
        std::to_string(config.learner.ranks) +
        " (learner.ranks); give it a name that ends with its rank (--name learner-1)");
  plan.listen = rank_listen(config.network, plan.rank, plan.addresses);
  plan.tls = tls_files(config.network, name, "learner");
  plan.config_digest = shared_digest(config);
  plan.weights_digest =
      gpu::weights_digest(around.materials.weights.data(), around.materials.weights.size());
  plan.join_seconds = config.network.join_deadline_seconds;
  plan.silence_seconds = config.network.limits.silence_seconds;
  plan.deadline = std::chrono::milliseconds(
      static_cast<std::int64_t>(config.learner.rank_deadline_seconds * 1000));
  plan.communicator = communicator_use(config.learner.communicator);
  open_for_ranks(config, plan);
  plan.agreed = [&telemetry = around.telemetry](const std::string& why) {
    telemetry.event("ranks", why);
  };
  plan.log = [&telemetry = around.telemetry](kj::LogSeverity, const std::string& text) {
    telemetry.event("link_refused", text);
  };
  return plan;
}

LearnerSetup rank_setup(const Surroundings& around) {
  LearnerSetup setup =
      learner_setup(around.config, around.materials, around.backends, around.telemetry);
  setup.ranks.ranks = 1;
  setup.ranks.prepare_thread = [set = around.backends.set_threads,
                                threads = std::max(1, around.config.learner.threads)] {
    set(threads);
  };
  return setup;
}

}  // namespace troupe
