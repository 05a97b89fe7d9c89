#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/engagement.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/cli/needs.hpp"
#include "actors/cli/process.hpp"
#include "actors/cli/targets.hpp"
#include "actors/config/suggest.hpp"
#include "gpu/device.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <iostream>
#include <kj/exception.h>
#include <set>
#include <stdexcept>
#include <unistd.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;
using Roles = std::set<std::string>;

/// Errors: throws std::runtime_error with the remedy.
Roles checked_roles(const std::vector<std::string>& given) {
  const std::vector<std::string> known = {"director",    "replay-buffer", "learner",
                                          "broadcaster", "generator",     "verifier"};
  Roles roles;
  for (const std::string& role : given) {
    if (std::find(known.begin(), known.end(), role) == known.end()) {
      const auto close = config::nearest(role, known);
      throw std::runtime_error("unknown role " + role +
                               (close ? "; did you mean " + *close + "?" : ""));
    }
    roles.insert(role);
  }
  return roles;
}

/// Who has the gate casts what else is in its process; everyone else dials it. Errors: throws std::runtime_error with the
/// remedy.
void require_place(const Roles& roles, const NetworkConfig& network) {
  const bool apart = network.replay_buffer_apart();
  if (roles.contains("replay-buffer") && !roles.contains("director") && !apart)
    throw std::runtime_error(
        "network.replay-buffer of this config says that it is in the director's process: "
        "--role director");
  if (!apart) return;
  for (const char* alone : {"director", "replay-buffer"}) {
    if (!roles.contains(alone) || roles.size() == 1) continue;
    const std::string other = *roles.begin() == alone ? *roles.rbegin() : *roles.begin();
    throw std::runtime_error("network.replay-buffer of this config gives " + std::string(alone) +
                             " a process of its own: serve " + other + " in another");
  }
}

/// The given name; of several roles, or without one, "generator-NAME" or "generator-HOST", as far as a name may hold it.
std::string name_of(const std::string& role, std::size_t roles, const std::string& given) {
  if (roles == 1 && !given.empty()) return given;
  constexpr std::size_t kLongestHost = 256, kLongestName = 63;
  char host[kLongestHost] = {};
  gethostname(host, sizeof host - 1);
  std::string name = role + "-" + (given.empty() ? host : given);
  if (!given.empty()) return name;
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!allowed) c = '-';
  }
  return name.substr(0, kLongestName);
}

int serve_director(const ServeOptions& options, const Roles& roles) {
  TrainOptions training;
  training.config = options.config;
  training.overrides = options.overrides;
  training.plain = options.plain;
  training.quiet = options.quiet;
  training.json_progress = options.json_progress;
  training.trace = options.trace;
  training.serve = DirectorProcess{options.name.empty() ? "director" : options.name,
                                   roles.contains("generator"),
                                   roles.contains("verifier"),
                                   options.ready_file,
                                   options.run_directory,
                                   options.metrics_file,
                                   options.linger,
                                   options.leave_run};
  return train(training);
}

int exit_code(const SiteEnd& end) {
  if (!is_failure(end)) return exit_ok;
  return end.kind == SiteEnd::Kind::refused ? exit_bad_input : exit_failed;
}

SiteEnd run(const Surroundings& around, const Roles& roles, const std::string& given,
            Interrupts& interrupts) {
  Engagements engagements;
  for (const std::string& role : roles)
    engagements.push_back(engage(around, role, name_of(role, roles.size(), given)));
  interrupts.tell([&] {
    for (const auto& one : engagements) one->leave();
  });
  SiteEnd end = wait_for(engagements);
  interrupts.tell({});
  return end;
}

int serve_sites(const ServeOptions& options, const Roles& roles) {
  std::optional<Config> checked = checked_config(options.config, options.overrides);
  if (!checked) return exit_bad_input;
  Config& config = *checked;
  const bool learns = roles.contains("learner");
  share_out_threads(config, roles.contains("generator") || !learns ? 1 : 0, learns);
  Interrupts interrupts;
  gpu::set_compute_threads(1);
  const Backends backends = backends_for(config.run.device, config.generator.engine);
  const Materials materials = gather(config);
  RunConfig files = config.run;
  files.name = name_of(*roles.begin(), roles.size(), options.name);
  const fs::path directory = new_run_directory(files);
  TelemetryOptions seen = telemetry_options(config, directory, materials.decoder);
  seen.quiet = options.quiet;
  seen.roles.assign(roles.begin(), roles.end());
  if (learns && !roles.contains("broadcaster"))
    seen.roles.push_back("broadcaster");  // it hands to the director's
  if (learns)
    seen.rollouts_per_update = static_cast<std::size_t>(config.metrics.rollouts_per_update);
  seen.needs = needs_of(roles);
  serve_metrics_for(options.metrics_file, seen);
  Telemetry telemetry(seen);
  tell_metrics_address(options.metrics_file, telemetry);
  for (const std::string& role : roles)
    watch_links(telemetry, config.network, name_of(role, roles.size(), options.name));
  SystemConfig system_config;
  caf::actor_system system(system_config);
  const Surroundings around{config, materials, backends, telemetry, system};
  SiteEnd end;
  try {
    end = run(around, roles, options.name, interrupts);
  } catch (const kj::Exception& error) {
    std::cerr << "troupe: " << error.getDescription().cStr() << "\n";
    return exit_bad_input;
  }
  const int code = exit_code(end);
  telemetry.event(code == exit_ok ? "ended" : "failure", end.text);
  if (code != exit_ok) std::cerr << "troupe: " << end.text << "\n";
  end_process_after(config.director.request_deadline_seconds);
  return code;
}

}  // namespace

int serve(const ServeOptions& options) {
  const Roles roles = checked_roles(options.roles);
  const ConfigResult loaded = load_config(options.config, options.overrides);
  if (loaded.problems.empty()) require_place(roles, loaded.config.network);  // else said below
  const bool can_leave = roles.contains("director") && loaded.config.network.replay_buffer_apart();
  if (options.leave_run && loaded.problems.empty() && !can_leave)
    throw std::runtime_error(
        "--leave-run: the run is in this process; give the replay buffer one of its own "
        "(network.replay-buffer), or leave the option out");
  if (roles.contains("replay-buffer") && !roles.contains("director"))
    return serve_replay_buffer(options);
  return roles.contains("director") ? serve_director(options, roles) : serve_sites(options, roles);
}

}  // namespace troupe
