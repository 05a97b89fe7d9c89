#include "actors/cli/site_plans.hpp"

#include "actors/broadcaster/broadcaster.hpp"
#include "actors/cli/carried_weights.hpp"
#include "actors/cli/process.hpp"
#include "actors/director/learner_plans.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/link/circle_peers.hpp"

#include <algorithm>
#include <atomic>
#include <kj/debug.h>
#include <memory>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <unistd.h>

namespace troupe {
namespace {

std::vector<std::string> addresses_of(const std::string& list) {
  std::vector<std::string> addresses;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end > at) addresses.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return addresses;
}

SiteReport report_of(Telemetry& telemetry, const std::string& name) {
  SiteReport report;
  report.process_id = static_cast<std::uint32_t>(getpid());
  const ActorTime time = telemetry.activity(name).totals_since_mark();
  report.busy_seconds = time.busy_seconds;
  report.idle_seconds = time.idle_seconds;
  report.phase = telemetry.activity(name).phase();
  return report;
}

SiteReport verifier_report(Telemetry& telemetry, const std::string& name) {
  SiteReport report = report_of(telemetry, name);
  for (const char* outcome : {"pass", "fail", "infra_error"})
    report.tokens += static_cast<std::uint64_t>(
        telemetry.metrics().counter("troupe_verifier_verdicts_total", outcome).Value());
  return report;
}

SiteReport generator_report(Telemetry& telemetry, const std::string& name) {
  Metrics& metrics = telemetry.metrics();
  SiteReport report = report_of(telemetry, name);
  report.tokens = static_cast<std::uint64_t>(
      metrics.counter("troupe_generator_generated_tokens_total").Value());
  report.in_flight =
      static_cast<std::uint32_t>(metrics.gauge("troupe_generator_inflight", name).Value());
  const double version = metrics.gauge("troupe_generator_weights_version", name).Value();
  if (report.tokens > 0) report.version = static_cast<std::uint64_t>(version);
  return report;
}

SiteReport relay_report(Telemetry& telemetry, const std::string& name) {
  SiteReport report = report_of(telemetry, name);
  report.tokens = static_cast<std::uint64_t>(
      telemetry.metrics().counter("troupe_broadcaster_handed_total").Value());
  const double version = telemetry.metrics().gauge("troupe_broadcaster_version").Value();
  if (report.tokens > 0) report.version = static_cast<std::uint64_t>(version);
  return report;
}

MemberPlan member_plan(const Surroundings& around, const std::string& role,
                       const std::string& name) {
  MemberPlan plan;
  plan.name = name;
  plan.role = role;
  plan.gate_role = around.config.network.gate_role();
  plan.addresses = addresses_of(around.config.network.gate());
  plan.tls = tls_files(around.config.network, name, role);
  plan.limits = around.config.network.limits;
  plan.config_digest = shared_digest(around.config);
  plan.away_deadline_seconds = around.config.network.away_deadline_seconds;
  plan.telemetry = &around.telemetry;
  return plan;
}

}  // namespace

SitePlan site_plan(const Surroundings& around, const std::string& role, const std::string& name) {
  SitePlan plan{member_plan(around, role, name)};
  plan.rollouts_at_once = rollouts_per_message(around.config, around.materials);
  plan.weights = carried_weights(around.config, around.materials.decoder);
  plan.deadlines = deadlines_of(around.config);
  plan.system = &around.system;
  const NetworkConfig& network = around.config.network;
  if (role == "generator" && around.config.broadcaster.relay == "tree") {
    const char* any = network.insecure ? "127.0.0.1:0" : "*:0";
    plan.relay_listen = network.listen == NetworkConfig::kOwnAddress ? any : network.listen;
    plan.cast_broadcaster = [around, deadlines = plan.deadlines] {
      return around.system.spawn(broadcaster, BroadcasterPlan{deadlines, &around.telemetry});
    };
  }
  auto casts = std::make_shared<std::atomic<std::uint32_t>>(0);
  plan.cast_generator = [around, name, casts](const CallSheet& sheet, const ReplayBuffer& buffer,
                                              const Broadcaster& broadcaster) -> Generator {
    around.telemetry.activity(name).mark();
    around.telemetry.meets("weights", false);  // one that is cast begins without
    return around.system.spawn<caf::detached>(
        generator,
        generator_plan(around.config, around.materials, around.backends, around.telemetry,
                       sheet.stage, name, (*casts)++),
        buffer, broadcaster);
  };
  plan.cast_verifier = [around, name](const CallSheet&, const ReplayBuffer& buffer) -> Verifier {
    around.telemetry.activity(name).mark();
    return around.system.spawn<caf::detached>(
        verifier, verifier_plan(around.config, around.materials, around.telemetry, name), buffer);
  };
  plan.report = [around, name, report = role == "generator" ? generator_report : verifier_report] {
    return report(around.telemetry, name);
  };
  return plan;
}

RelayPlan relay_plan(const Surroundings& around, const std::string& name) {
  const NetworkConfig& network = around.config.network;
  RelayPlan plan{member_plan(around, "broadcaster", name)};
  plan.address = network.broadcaster;
  plan.listen = network.listen == NetworkConfig::kOwnAddress ? network.broadcaster : network.listen;
  plan.weights = carried_weights(around.config, around.materials.decoder);
  plan.deadlines = deadlines_of(around.config);
  plan.system = &around.system;
  plan.cast_broadcaster = [around, deadlines = plan.deadlines] {
    around.telemetry.activity("broadcaster").mark();
    around.telemetry.meets("cast", true);
    return around.system.spawn(broadcaster, BroadcasterPlan{deadlines, &around.telemetry});
  };
  plan.report = [around] { return relay_report(around.telemetry, "broadcaster"); };
  return plan;
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

ChairPlan chair_plan(const Surroundings& around, const std::string& name) {
  ChairPlan plan{member_plan(around, "director", name)};
  plan.weights = carried_weights(around.config, around.materials.decoder);
  plan.deadlines = deadlines_of(around.config);
  plan.system = &around.system;
  plan.report = [around, name] {
    SiteReport report = report_of(around.telemetry, name);
    if (const RunOverview run = around.telemetry.overview(); run.version > 0)
      report.version = run.version;
    return report;
  };
  return plan;
}

StudyPlan study_plan(const Surroundings& around, const std::string& name) {
  const NetworkConfig& network = around.config.network;
  StudyPlan plan{member_plan(around, "learner", name)};
  if (network.learner_has_gate()) {
    plan.address = network.learner;
    plan.listen = network.listen == NetworkConfig::kOwnAddress ? network.learner : network.listen;
  }
  plan.weights = carried_weights(around.config, around.materials.decoder);
  plan.deadlines = deadlines_of(around.config);
  plan.system = &around.system;
  plan.cast_learner = [around, name](const Conductor& reporter) {
    LearnerSetup setup =
        learner_setup(around.config, around.materials, around.backends, around.telemetry);
    if (around.config.network.ranks_apart()) {
      setup = rank_setup(around);
      setup.peers = [circle = rank_circle_plan(around, name)] { return circle_peers(circle); };
    }
    return around.system.spawn<caf::detached>(learner, std::move(setup), reporter);
  };
  plan.cast_broadcaster = [around, deadlines = plan.deadlines](bool for_generators) {
    return around.system.spawn(broadcaster,
                               BroadcasterPlan{deadlines, &around.telemetry, for_generators});
  };
  plan.stage_plan = [around](const CallSheet& sheet, const ReplayBuffer& buffer,
                             const Broadcaster& broadcaster) {
    const std::size_t index = sheet.stage;
    KJ_REQUIRE(index < around.config.stages.size(), "a stage that this config does not have");
    const StageConfig& stage = around.config.stages[index];
    around.telemetry.stage_begins(static_cast<std::int32_t>(index), stage.kind, stage.name,
                                  stage.updates);
    around.telemetry.activity("learner").mark();
    return std::make_shared<const LearnerPlan>(
        buffer ? rollout_plan(around.config, index, buffer, broadcaster)
               : supervised_plan(around.config, around.materials, around.backends, index));
  };
  plan.report = [around] {
    SiteReport report = report_of(around.telemetry, "learner");
    report.tokens = static_cast<std::uint64_t>(
        around.telemetry.metrics().counter("troupe_learner_trained_tokens_total").Value());
    report.version = static_cast<std::uint64_t>(
        around.telemetry.metrics().gauge("troupe_learner_version").Value());
    return report;
  };
  return plan;
}

}  // namespace troupe
