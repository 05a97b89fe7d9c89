#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/cli/process.hpp"
#include "actors/cli/site_plans.hpp"
#include "actors/cli/targets.hpp"
#include "actors/config/suggest.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/site.hpp"
#include "actors/link/study.hpp"
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
  if (roles.contains("director")) return roles;
  if (roles.contains("replay-buffer"))
    throw std::runtime_error("the replay buffer runs in the director's process: --role director");
  if (roles.size() > 1)
    throw std::runtime_error("but for the director's, a process has one role; start one for each");
  return roles;
}

/// "generator-HOST", as far as a name may hold it.
std::string default_name(const std::string& role) {
  constexpr std::size_t kLongestHost = 256, kLongestName = 63;
  char host[kLongestHost] = {};
  gethostname(host, sizeof host - 1);
  std::string name = role + "-" + host;
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
                                   options.linger};
  return train(training);
}

int exit_code(const SiteEnd& end) {
  switch (end.kind) {
    case SiteEnd::Kind::dismissed:
    case SiteEnd::Kind::left:
      return exit_ok;
    case SiteEnd::Kind::refused:
      return exit_bad_input;
    default:
      return exit_failed;
  }
}

/// What a process must have before it is of use (/readyz).
std::vector<std::string> needs_of(const std::string& role) {
  if (role == "generator") return {"link", "weights"};
  if (role == "learner") return {"link", "stage"};
  if (role == "broadcaster") return {"link", "cast"};
  return {"link"};
}

SiteEnd run_relay(const Surroundings& around, const std::string& name, Interrupts& interrupts) {
  Relay relay(relay_plan(around, name));
  interrupts.tell([&] { relay.leave(); });
  SiteEnd end = relay.wait();
  interrupts.tell({});
  return end;
}

SiteEnd run_study(const Surroundings& around, const std::string& name, Interrupts& interrupts) {
  Study study(study_plan(around, name));
  interrupts.tell([&] { study.leave(); });
  SiteEnd end = study.wait();
  interrupts.tell({});
  return end;
}

SiteEnd run_site(const Surroundings& around, const std::string& role, const std::string& name,
                 Interrupts& interrupts) {
  Site site(site_plan(around, role, name));
  interrupts.tell([&] {
    around.telemetry.event("leaving", name + " hands over what it has; once more to stop at once");
    site.leave(around.config.network.drain_seconds);
  });
  SiteEnd end = site.wait();
  interrupts.tell({});
  return end;
}

int serve_site(const ServeOptions& options, const std::string& role) {
  std::optional<Config> checked = checked_config(options.config, options.overrides);
  if (!checked) return exit_bad_input;
  Config& config = *checked;
  share_out_threads(config, role == "learner" ? 0 : 1, role == "learner");
  Interrupts interrupts;
  gpu::set_compute_threads(1);
  const Backends backends = backends_for(config.run.device, config.generator.engine);
  const Materials materials = gather(config);
  const std::string name = options.name.empty() ? default_name(role) : options.name;
  RunConfig files = config.run;
  files.name = name;
  const fs::path directory = new_run_directory(files);
  TelemetryOptions seen = telemetry_options(config, directory, materials.decoder);
  seen.quiet = options.quiet;
  seen.roles = {role};
  if (role == "learner") seen.roles.push_back("broadcaster");  // it hands to the director's
  seen.needs = needs_of(role);
  serve_metrics_for(options.metrics_file, seen);
  Telemetry telemetry(seen);
  tell_metrics_address(options.metrics_file, telemetry);
  watch_links(telemetry, config.network, name);
  SystemConfig system_config;
  caf::actor_system system(system_config);
  const Surroundings around{config, materials, backends, telemetry, system};
  SiteEnd end;
  try {
    end = role == "broadcaster" ? run_relay(around, name, interrupts)
          : role == "learner"   ? run_study(around, name, interrupts)
                                : run_site(around, role, name, interrupts);
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
  return roles.contains("director") ? serve_director(options, roles)
                                    : serve_site(options, *roles.begin());
}

}  // namespace troupe
