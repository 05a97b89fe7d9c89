#pragma once
// Processes of a broadcaster and of a learner, for a Chief's run.
#include "actors/broadcaster/broadcaster.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/study.hpp"
#include "tests/actors/link/linked_run.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::linked {

/// Certificates of one run.
struct Papers {
  TemporaryDirectory directory;
  pki::Authority authority = pki::Authority::create(directory.path() / "pki");
  wire::TlsFiles of(pki::Role role, const std::string& name) {
    std::vector<std::string> hosts;
    if (pki::serves(role)) hosts = {"127.0.0.1"};
    return files(authority.issue({role, name, hosts, {}}));
  }
};

struct RelayProcess {
  RelayProcess(const Chief& chief, std::string address, std::optional<wire::TlsFiles> tls,
               double silence_seconds = patient_limits().silence_seconds) {
    RelayPlan plan;
    plan.name = "broadcaster";
    plan.role = "broadcaster";
    plan.addresses = {std::move(address)};
    plan.tls = std::move(tls);
    plan.limits = patient_limits();
    plan.limits.silence_seconds = silence_seconds;
    plan.config_digest = "digest";
    plan.telemetry = run.telemetry.get();
    plan.report = [] { return SiteReport{}; };
    plan.listen = "127.0.0.1:0";
    plan.address = "127.0.0.1:0";
    plan.weights.manifest = manifest_of(chief.parts);
    plan.deadlines = quick();
    plan.system = &system;
    plan.cast_broadcaster = [this] {
      ++casts;
      return system.spawn(broadcaster, BroadcasterPlan{quick(), run.telemetry.get()});
    };
    relay = std::make_unique<Relay>(plan);
  }
  double handed() {
    return run.telemetry->metrics().counter("troupe_broadcaster_handed_total").Value();
  }
  /// Versions that came in from whoever that is.
  double fetched(const char* source) {
    return run.telemetry->metrics().counter("troupe_broadcaster_fetched_total", source).Value();
  }
  std::string address() const { return relay->address(); }

  support::TemporaryRun run;
  std::atomic<int> casts = 0;
  caf::actor_system_config config;
  caf::actor_system system{config};
  std::unique_ptr<Relay> relay;
};

struct StudyProcess {
  static constexpr std::uint64_t kFrameBytes = 1 << 16;
  /// `gate`: as the learner tells it, "127.0.0.1:0" for where it is; empty: it has none.
  StudyProcess(Chief& of, std::string address, std::optional<wire::TlsFiles> tls = {},
               const std::string& gate = "")
      : chief(of) {
    StudyPlan plan;
    plan.name = "learner";
    plan.role = "learner";
    plan.addresses = {std::move(address)};
    plan.tls = std::move(tls);
    plan.limits = patient_limits();
    plan.limits.frame_bytes = kFrameBytes;
    plan.config_digest = "digest";
    plan.telemetry = run.telemetry.get();
    plan.report = [] { return SiteReport{}; };
    plan.weights.manifest = manifest_of(chief.parts);
    plan.deadlines = quick();
    plan.system = &system;
    plan.address = gate;
    if (!gate.empty()) plan.listen = "127.0.0.1:0";
    plan.cast_learner = [this](const Conductor& reporter) {
      return system.spawn<caf::detached>(learner, chief.learner_setup(*run.telemetry), reporter);
    };
    plan.cast_broadcaster = [this](bool) {
      return system.spawn(broadcaster, BroadcasterPlan{quick(), run.telemetry.get()});
    };
    plan.stage_plan = [this](const CallSheet&, const ReplayBuffer& buffer,
                             const Broadcaster& weights) {
      ++casts;
      run.telemetry->stage_begins(0, "rl", "rl", 0);
      LearnerPlan stage;
      stage.rollout = chief.rollout_plan();
      stage.rollout->buffer = buffer;
      stage.rollout->broadcaster = weights;
      return std::make_shared<const LearnerPlan>(stage);
    };
    study = std::make_unique<Study>(plan);
  }

  Chief& chief;
  ShowingRun run{false};
  std::atomic<int> casts = 0;
  caf::actor_system_config config;
  caf::actor_system system{config};
  std::unique_ptr<Study> study;
};

}  // namespace troupe::linked
