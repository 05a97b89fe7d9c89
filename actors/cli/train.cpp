#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/director/director.hpp"
#include "gpu/device.hpp"
#include "gpu/model/manifest.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/blocking_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

/// <out>/<name>, or <name>-2, -3, ...: no run is ever overwritten.
fs::path new_run_directory(const RunConfig& run) {
  std::error_code error;
  fs::create_directories(run.out, error);
  if (error)
    throw std::runtime_error(run.out.string() + ": cannot be made (run.out): " + error.message());
  for (int i = 1;; ++i) {
    const fs::path directory = run.out / (i == 1 ? run.name : run.name + "-" + std::to_string(i));
    if (fs::create_directory(directory, error)) return directory;
    if (error)
      throw std::runtime_error(directory.string() + ": cannot be made: " + error.message());
  }
}

/// Who computes at the same time, the generators and the learner, gets an equal share of
/// run.threads, one at least.
void share_out_threads(Config& config) {
  if (config.run.threads == 0)
    config.run.threads =
        std::max(1, static_cast<std::int32_t>(std::thread::hardware_concurrency()));
  const std::int32_t share = std::max(1, config.run.threads / (config.generator.count + 1));
  if (config.generator.threads == 0) config.generator.threads = share;
  if (config.learner.threads == 0) config.learner.threads = share;
}

/// SIGINT and SIGTERM: the first asks the director to stop, the second ends the process at once. A
/// thread of its own waits for them, so that nothing happens inside a signal handler.
class Interrupts {
 public:
  Interrupts() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);  // before any other thread starts
  }
  void watch(caf::actor director) {
    thread_ = std::thread([this, director = std::move(director)] {
      for (int count = 0;; ++count) {
        int signal = 0;
        sigwait(&set_, &signal);
        if (signal == SIGUSR1) return;
        if (count > 0) _exit(exit_interrupted);
        std::cerr << "\ntroupe: stopping after this update; once more to stop at once\n";
        caf::anon_send(director, stop_atom::value);
      }
    });
  }
  ~Interrupts() {
    if (!thread_.joinable()) return;
    pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }

 private:
  sigset_t set_;
  std::thread thread_;
};

TelemetryOptions telemetry_options(const TrainOptions& options, const Config& config,
                                   const fs::path& directory, const gpu::DecoderConfig& decoder) {
  TelemetryOptions telemetry;
  telemetry.run_directory = directory;
  telemetry.terminal_status =
      !options.plain && isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  telemetry.colour = std::getenv("NO_COLOR") == nullptr;
  telemetry.trace = options.trace;
  telemetry.quiet = options.quiet;
  telemetry.metrics_address = config.metrics.address;
  telemetry.metrics_port = config.metrics.port;
  telemetry.run_name = directory.filename().string();
  telemetry.config_json = config_json(config);
  telemetry.config_digest = config_digest(config);
  telemetry.model_description = gpu::architecture(decoder) + ", " +
                                std::to_string(gpu::manifest_of(decoder).elements) + " parameters";
  telemetry.build_description = build_description();
  return telemetry;
}

void warn_if_slow(Telemetry& telemetry) {
  constexpr double kReferenceBlas =
      20;  // recipe.md 1: below it the BLAS is a reference one, or the machine very busy
  const double gflops = gpu::matmul_gflops();
  if (gflops < kReferenceBlas)
    telemetry.event("warning", "matrix products run at " +
                                   std::to_string(static_cast<int>(gflops)) +
                                   " GFLOP/s per thread: expect a slow run");
}

RunOutcome run(const Config& config, const Materials& materials, const Backends& backends,
               Telemetry& telemetry, const fs::path& directory, Interrupts& interrupts) {
  RunOutcome outcome;
  RunPlan plan;
  plan.config = &config;
  plan.materials = &materials;
  plan.backends = backends;
  plan.telemetry = &telemetry;
  plan.run_directory = directory;
  plan.outcome = &outcome;
  caf::actor_system_config system_config;
  system_config.set("scheduler.max-threads", 2u);
  system_config.set("scheduler.max-throughput", 100u);
  system_config.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system system(system_config);
  const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
  interrupts.watch(chief);
  caf::scoped_actor self(system);
  self->wait_for(chief);
  return outcome;
}

}  // namespace

int train(const TrainOptions& options) {
  ConfigResult loaded = load_config(options.config, options.overrides);
  for (const ConfigProblem& warning : loaded.warnings)
    std::cerr << "warning: " << render(warning) << "\n";
  for (const ConfigProblem& problem : loaded.problems) std::cerr << render(problem) << "\n";
  if (!loaded.problems.empty()) return exit_bad_input;
  Config& config = loaded.config;
  share_out_threads(config);
  Interrupts interrupts;  // before any thread starts
  gpu::set_compute_threads(1);
  const Backends backends = torch_backends(config.run.device);
  const Materials materials = gather(config);
  const fs::path directory = new_run_directory(config.run);
  Telemetry telemetry(telemetry_options(options, config, directory, materials.decoder));
  std::ofstream(directory / "config.toml") << print_config(config);
  warn_if_slow(telemetry);
  const RunOutcome outcome = run(config, materials, backends, telemetry, directory, interrupts);
  const std::string ended = !outcome.failure.empty() ? outcome.failure
                            : outcome.interrupted    ? "interrupted"
                                                     : "done";
  telemetry.write_files(ended);
  std::cout << telemetry.closing_text() << std::flush;
  if (!outcome.failure.empty()) {
    std::cerr << "troupe: " << outcome.failure << "\n";
    return exit_failed;
  }
  return outcome.interrupted ? exit_interrupted : exit_ok;
}

}  // namespace troupe
