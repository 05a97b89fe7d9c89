#include "actors/dashboard/dashboard.hpp"

#include "actors/cli/commands.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/config/config.hpp"

#include <condition_variable>
#include <iostream>
#include <mutex>

namespace troupe {
namespace {

/// As the run had it; "" if its config cannot be read here: then the staleness bound is not known.
std::string config_of(const std::filesystem::path& run_directory) {
  const ConfigResult loaded = load_config(run_directory / "config.toml", {});
  return loaded.problems.empty() ? config_json(loaded.config) : std::string();
}

void wait_for(Interrupts& interrupts) {
  std::mutex mutex;
  std::condition_variable asked;
  bool stop = false;
  interrupts.tell([&] {
    const std::lock_guard lock(mutex);
    stop = true;
    asked.notify_all();
  });
  std::unique_lock lock(mutex);
  asked.wait(lock, [&] { return stop; });
  lock.unlock();
  interrupts.tell({});
}

}  // namespace

int dashboard(const DashboardOptions& options) {
  Interrupts interrupts;
  const bool loopback = options.address.starts_with("127.") || options.address == "::1";
  const auto shown = std::make_shared<Dashboard>(
      recorded_source(options.run_directory, config_of(options.run_directory)), DashboardControl{},
      loopback);
  HttpServer server(options.address, options.port, {});
  shown->serve_on(server);
  std::cout << "http://" << options.address << ":" << server.port() << "/ (Ctrl-C ends)"
            << std::endl;
  wait_for(interrupts);
  return exit_ok;
}

}  // namespace troupe
