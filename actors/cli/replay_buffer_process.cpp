// The replay buffer's process: a run's conductor and gate, led by a director elsewhere.
#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/cli/office_plan.hpp"
#include "actors/cli/process.hpp"
#include "actors/cli/targets.hpp"
#include "actors/conductor/conductor.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/errors.hpp"
#include "actors/link/director_stand_in.hpp"
#include "actors/telemetry/rollout_log.hpp"
#include "gpu/device.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <functional>
#include <iostream>
#include <kj/exception.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

TelemetryOptions seen_options(const Config& config, const ServeOptions& options,
                              const Materials& materials, const fs::path& directory) {
  TelemetryOptions seen = telemetry_options(config, directory, materials.decoder);
  seen.quiet = options.quiet;
  seen.roles = {"replay-buffer", "broadcaster"};  // one elsewhere takes each version from here
  if (!config.network.learner_apart()) seen.roles.push_back("learner");
  seen.needs = {"link", "stage"};
  seen.rollouts_per_update = static_cast<std::size_t>(config.metrics.rollouts_per_update);
  serve_metrics_for(options.metrics_file, seen);
  return seen;
}

DirectorStandInPlan stand_in_plan(const Config& config, Telemetry& telemetry) {
  DirectorStandInPlan plan;
  for (const StageConfig& stage : config.stages)
    plan.stages.push_back({stage.kind, stage.name, stage.updates});
  plan.away_deadline_seconds = config.network.away_deadline_seconds;
  plan.frame_bytes = config.network.limits.frame_bytes;
  plan.deadlines = deadlines_of(config);
  plan.telemetry = &telemetry;
  return plan;
}

/// What a director elsewhere is told of. `name`: of this process.
void listen(Telemetry& telemetry, const std::string& name, const caf::actor& stand_in) {
  const auto tell = [stand_in](const auto& record) {
    caf::anon_send(stand_in, news_atom::value, NewsBody(record));
  };
  const auto happened = [tell, name](const EventRecord& event) {
    tell(EventRecord{event.seconds_since_start, event.kind, name + ": " + event.text});
  };
  telemetry.listen({tell, tell, tell, happened});
  if (RolloutLog* const rollouts = telemetry.rollouts())
    rollouts->hand_on([stand_in](const ShownRollout& rollout) {
      caf::anon_send(stand_in, show_atom::value, rollout);
    });
}

/// Until the run is over. Returns why it failed; empty: it ended as its director wanted.
std::string conduct(const ConductorPlan& plan, const caf::actor& stand_in,
                    caf::actor_system& system, Interrupts& interrupts) {
  caf::anon_send(stand_in, join_atom::value,
                 caf::actor_cast<Conductor>(system.spawn<caf::detached>(
                     conductor, std::cref(plan), caf::actor_cast<Director>(stand_in))));
  interrupts.tell([stand_in] {
    std::cerr << "\ntroupe: ending the run; once more to stop at once\n";
    caf::anon_send(stand_in, close_atom::value,
                   std::string("the replay buffer's process was told to end"));
  });
  std::string failure;
  caf::scoped_actor self(system);
  self->request(stand_in, caf::infinite, farewell_atom::value)  // it keeps the deadlines
      .receive([&](const std::string& why) { failure = why; },
               [&](const caf::error& error) {
                 failure = "the director's stand-in died: " + describe(error);
               });
  interrupts.tell({});
  return failure;
}

}  // namespace

int serve_replay_buffer(const ServeOptions& options) {
  std::optional<Config> checked = checked_config(options.config, options.overrides);
  if (!checked) return exit_bad_input;
  Config& config = *checked;
  config.generator.count = config.verifier.count = 0;  // all are elsewhere
  share_out_threads(config, 0, !config.network.learner_apart());
  Interrupts interrupts;
  gpu::set_compute_threads(1);
  const Backends backends = backends_for(config.run.device, config.generator.engine);
  const Materials materials = gather(config);
  const std::string name = options.name.empty() ? "replay-buffer" : options.name;
  RunConfig files = config.run;
  files.name = name;
  const fs::path directory = new_run_directory(files);
  Telemetry telemetry(seen_options(config, options, materials, directory));
  tell_metrics_address(options.metrics_file, telemetry);
  watch_links(telemetry, config.network, name);
  SystemConfig system_config;
  caf::actor_system system(system_config);
  const caf::actor stand_in = system.spawn(director_stand_in, stand_in_plan(config, telemetry));
  listen(telemetry, name, stand_in);
  std::unique_ptr<Office> office;
  try {
    OfficePlan plan = office_plan(config, materials, name, telemetry);
    plan.director = stand_in;
    office = std::make_unique<Office>(plan);
  } catch (const kj::Exception& error) {
    std::cerr << "troupe: " << error.getDescription().cStr() << "\n";
    telemetry.listen({});
    caf::anon_send_exit(stand_in, caf::exit_reason::user_shutdown);
    return exit_bad_input;
  }
  telemetry.meets("link", true);
  telemetry.event("listening", office->address());
  if (!options.ready_file.empty())
    write_ready_file(options.ready_file, office->address(), directory);
  const ConductorPlan plan{&config, &materials, backends, &telemetry, office.get(), {}};
  const std::string failure = conduct(plan, stand_in, system, interrupts);
  const std::string ended = failure.empty() ? "done" : failure;
  telemetry.event(failure.empty() ? "ended" : "failure", ended);
  office->dismiss(ended);
  telemetry.write_files(ended);
  office.reset();
  telemetry.listen({});
  caf::anon_send_exit(stand_in, caf::exit_reason::user_shutdown);
  end_process_after(config.director.request_deadline_seconds);
  if (failure.empty()) return exit_ok;
  std::cerr << "troupe: " << failure << "\n";
  return exit_failed;
}

}  // namespace troupe
