#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/cli/office_plan.hpp"
#include "actors/cli/process.hpp"
#include "actors/cli/site_plans.hpp"
#include "actors/cli/targets.hpp"
#include "actors/dashboard/dashboard.hpp"
#include "actors/director/director.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/link/office.hpp"
#include "gpu/device.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/blocking_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <csignal>
#include <fstream>
#include <future>
#include <iostream>
#include <kj/exception.h>
#include <memory>
#include <unistd.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

void warn_if_slow(Telemetry& telemetry) {
  constexpr double kReferenceBlas =
      20;  // recipe.md 1: below it the BLAS is a reference one, or the machine very busy
  const double gflops = gpu::matmul_gflops();
  if (gflops < kReferenceBlas)
    telemetry.event("warning", "matrix products run at " +
                                   std::to_string(static_cast<int>(gflops)) +
                                   " GFLOP/s per thread: expect a slow run");
}

/// Whose metrics this process has. A broadcaster is beside the replay buffer: a remote one takes each version from it.
std::vector<std::string> roles_of(const DirectorProcess& process, const Config& config) {
  if (config.network.replay_buffer_apart()) return {"director"};
  std::vector<std::string> roles = {"director", "replay-buffer", "broadcaster"};
  if (!config.network.learner_apart()) roles.push_back("learner");
  if (process.generator) roles.push_back("generator");
  if (process.verifier) roles.push_back("verifier");
  return roles;
}

/// Where there is a port. Nobody is looked for, so that it costs nothing until somebody comes.
void open_dashboard(const MetricsConfig& metrics, Telemetry& telemetry,
                    const std::weak_ptr<Chair>& conductor_elsewhere = {}) {
  HttpServer* const server = telemetry.server();
  if (server == nullptr) return;
  DashboardControl control;
  if (!metrics.control_token_file.empty()) {
    control.token = read_control_token(metrics.control_token_file);
    control.stop = [&telemetry] {
      telemetry.event("stop", "asked for on the dashboard");
      kill(getpid(), SIGINT);  // as one Ctrl-C
    };
    control.pause = [&telemetry, conductor_elsewhere](bool on) {
      telemetry.pause(on);
      if (const auto chair = conductor_elsewhere.lock()) chair->pause(on);
    };
  }
  const bool loopback = metrics.address.starts_with("127.") || metrics.address == "::1";
  const auto dashboard =
      std::make_shared<Dashboard>(live_source(telemetry), std::move(control), loopback);
  dashboard->serve_on(*server);
  telemetry.event("dashboard", "http://" +
                                   (metrics.address.find(':') == std::string::npos
                                        ? metrics.address
                                        : "[" + metrics.address + "]") +
                                   ":" + std::to_string(server->port()) + "/");
}

/// Joins the replay buffer's process. Errors: throws kj::Exception or std::runtime_error if that is of no use.
std::shared_ptr<Chair> take_chair(RunPlan& plan, const std::string& name,
                                  caf::actor_system& system) {
  const auto chair = std::make_shared<Chair>(
      chair_plan({*plan.config, *plan.materials, plan.backends, *plan.telemetry, system}, name));
  plan.past = chair->past();
  plan.telemetry->began_before(std::max(0.0, plan.past.began_before));
  Chair* const seat = chair.get();  // the plan outlives the actors that the chair needs
  plan.cast_conductor = [seat](const Director& director) { return seat->cast_conductor(director); };
  plan.note = [seat](const EvaluationNote& note) { seat->note(note); };
  open_dashboard(plan.config->metrics, *plan.telemetry, chair);
  return chair;
}

/// What the first signal does.
std::function<void()> at_signal(const caf::actor& chief, Interrupts& interrupts,
                                Telemetry& telemetry, bool leaves) {
  return [chief, &interrupts, &telemetry, leaves] {
    if (leaves && interrupts.received() == SIGTERM) {
      telemetry.event("leaving", "the run goes on, and waits for another director");
      return caf::anon_send(chief, leave_run_atom::value);
    }
    std::cerr << "\ntroupe: stopping after this update; once more to stop at once\n";
    caf::anon_send(chief, stop_atom::value);
  };
}

/// `name`: of this process, where the replay buffer is in another; empty: it is here. `leaves`: as in DirectorProcess.
RunOutcome run(RunPlan plan, const std::string& name, bool leaves, Interrupts& interrupts) {
  RunOutcome outcome;
  plan.outcome = &outcome;
  SystemConfig system_config;
  caf::actor_system system(system_config);
  const std::shared_ptr<Chair> chair = name.empty() ? nullptr : take_chair(plan, name, system);
  {
    const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
    interrupts.tell(at_signal(chief, interrupts, *plan.telemetry, leaves));
    caf::scoped_actor self(system);
    self->wait_for(chief);
    interrupts.tell({});
  }
  const std::string ended = !outcome.failure.empty() ? outcome.failure
                            : outcome.left           ? "left"
                            : outcome.interrupted    ? "interrupted"
                                                     : "done";
  if (plan.office != nullptr) plan.office->dismiss(ended);
  plan.telemetry->write_files(ended);
  if (!outcome.failure.empty()) end_process_after(plan.config->director.request_deadline_seconds);
  return outcome;
}

/// Where a process that ends is started again, as in a StatefulSet, one that is done has to stay.
void linger(Telemetry& telemetry, Interrupts& interrupts) {
  std::promise<void> told;
  interrupts.tell([&told] { told.set_value(); });
  telemetry.event("lingering", "the run is done; a signal ends this process");
  told.get_future().wait();
  interrupts.tell({});
}

}  // namespace

int train(const TrainOptions& options) {
  std::optional<Config> checked = checked_config(options.config, options.overrides);
  if (!checked) return exit_bad_input;
  Config& config = *checked;
  if (options.serve && !options.serve->generator) config.generator.count = 0;
  if (options.serve && !options.serve->verifier) config.verifier.count = 0;
  const bool replay_buffer_apart = options.serve && config.network.replay_buffer_apart();
  share_out_threads(config, config.generator.count, !replay_buffer_apart);
  Interrupts interrupts;
  gpu::set_compute_threads(1);
  const Backends backends = backends_for(config.run.device, config.generator.engine);
  const Materials materials = gather(config);
  const bool placed = options.serve && !options.serve->run_directory.empty();
  const fs::path directory = placed ? options.serve->run_directory : new_run_directory(config.run);
  TelemetryOptions seen = telemetry_options(config, directory, materials.decoder);
  seen.terminal_status = !options.plain && !options.json_progress && isatty(STDERR_FILENO) == 1 &&
                         isatty(STDOUT_FILENO) == 1;
  seen.json_progress = options.json_progress;
  seen.trace = options.trace;
  seen.quiet = options.quiet;
  seen.needs = {"stage"};
  if (replay_buffer_apart) seen.needs.push_back("link");
  if (options.serve) seen.roles = roles_of(*options.serve, config);
  if (replay_buffer_apart) seen.lineage = false;  // it is written there
  const fs::path metrics_file = options.serve ? options.serve->metrics_file : fs::path();
  serve_metrics_for(metrics_file, seen);
  seen.rollouts_per_update = static_cast<std::size_t>(config.metrics.rollouts_per_update);
  seen.token_text = [tokenizer = materials.tokenizer](std::int32_t token) {
    const bool known = token >= 0 && token < tokenizer->size();
    return known ? tokenizer->decode({&token, 1}) : std::string();
  };
  auto telemetry = std::make_unique<Telemetry>(seen);
  tell_metrics_address(metrics_file, *telemetry);
  if (!replay_buffer_apart) open_dashboard(config.metrics, *telemetry);
  std::ofstream(directory / "config.toml") << print_config(config);
  telemetry->event(
      "engine",
      "generators compute with " +
          engine_choice(config.run.device, config.generator.engine, materials.decoder).why);
  std::unique_ptr<Office> office;
  if (options.serve) watch_links(*telemetry, config.network, options.serve->name);
  if (options.serve && !replay_buffer_apart) {
    try {
      office =
          std::make_unique<Office>(office_plan(config, materials, options.serve->name, *telemetry));
    } catch (const kj::Exception& error) {
      std::cerr << "troupe: " << error.getDescription().cStr() << "\n";
      return exit_bad_input;
    }
    telemetry->event("listening", office->address());
    if (!options.serve->ready_file.empty())
      write_ready_file(options.serve->ready_file, office->address(), directory);
  }
  warn_if_slow(*telemetry);
  RunPlan plan;
  plan.config = &config;
  plan.materials = &materials;
  plan.backends = backends;
  plan.telemetry = telemetry.get();
  plan.run_directory = directory;
  plan.office = office.get();
  const RunOutcome outcome =
      replay_buffer_apart ? run(plan, options.serve->name, options.serve->leaves_run, interrupts)
                          : run(plan, std::string(), false, interrupts);
  office.reset();
  if (options.serve && options.serve->linger && outcome.failure.empty() && !outcome.interrupted &&
      !outcome.left)
    linger(*telemetry, interrupts);
  const std::string closing =
      options.json_progress ? telemetry->closing_line() : telemetry->closing_text();
  telemetry.reset();  // ends the live status, which would draw over what follows
  if (outcome.left) return exit_ok;
  std::cout << closing << std::flush;
  if (!outcome.failure.empty()) {
    std::cerr << "troupe: " << outcome.failure << "\n";
    return exit_failed;
  }
  return outcome.interrupted ? exit_interrupted : exit_ok;
}

}  // namespace troupe
