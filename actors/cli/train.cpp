#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/director/director.hpp"
#include "gpu/device.hpp"
#include "gpu/model/manifest.hpp"

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/blocking_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
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

/// SIGINT, SIGTERM and SIGHUP: the first asks the director to stop, the second ends the process at
/// once. A thread of its own waits for them, so that nothing happens inside a signal handler.
/// Before there is a director one is enough.
class Interrupts {
 public:
  Interrupts() {
    std::signal(SIGPIPE, SIG_IGN);  // a closed pipe must not cost the model
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);  // before any other thread starts
    thread_ = std::thread([this] { watch(); });
  }
  ~Interrupts() {
    ended_ = true;
    thread_.join();
  }
  void tell(caf::actor director) {
    const std::lock_guard lock(mutex_);
    director_ = std::move(director);
  }

 private:
  void watch() {
    constexpr timespec kInterval{0, 100'000'000};
    for (int count = 0; !ended_;) {
      if (sigtimedwait(&set_, nullptr, &kInterval) < 0) continue;
      const std::lock_guard lock(mutex_);
      if (count++ > 0 || !director_) _exit(exit_interrupted);
      std::cerr << "\ntroupe: stopping after this update; once more to stop at once\n";
      caf::anon_send(director_, stop_atom::value);
    }
  }

  sigset_t set_;
  std::atomic<bool> ended_ = false;
  std::mutex mutex_;
  caf::actor director_;
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

/// Whatever hangs in a computation when a run has failed must not keep the process from ending.
void end_process_after(double seconds) {
  std::thread([seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    std::cerr << "troupe: an actor does not end; ending without it\n";
    _exit(exit_failed);
  }).detach();
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
  {
    const caf::actor chief = system.spawn<caf::detached>(director, std::cref(plan));
    interrupts.tell(chief);
    caf::scoped_actor self(system);
    self->wait_for(chief);
    interrupts.tell({});
  }
  telemetry.write_files(!outcome.failure.empty() ? outcome.failure
                        : outcome.interrupted    ? "interrupted"
                                                 : "done");
  if (!outcome.failure.empty()) end_process_after(config.director.request_deadline_seconds);
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
  const Backends backends = backends_for(config.run.device, config.generator.engine);
  const Materials materials = gather(config);
  const fs::path directory = new_run_directory(config.run);
  auto telemetry =
      std::make_unique<Telemetry>(telemetry_options(options, config, directory, materials.decoder));
  std::ofstream(directory / "config.toml") << print_config(config);
  telemetry->event(
      "engine",
      "generators compute with " +
          engine_choice(config.run.device, config.generator.engine, materials.decoder).why);
  warn_if_slow(*telemetry);
  const RunOutcome outcome = run(config, materials, backends, *telemetry, directory, interrupts);
  const std::string closing = telemetry->closing_text();
  telemetry.reset();  // ends the live status, which would draw over what follows
  std::cout << closing << std::flush;
  if (!outcome.failure.empty()) {
    std::cerr << "troupe: " << outcome.failure << "\n";
    return exit_failed;
  }
  return outcome.interrupted ? exit_interrupted : exit_ok;
}

}  // namespace troupe
