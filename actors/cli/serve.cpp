#include "actors/cli/backends.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/interrupts.hpp"
#include "actors/cli/process.hpp"
#include "actors/config/suggest.hpp"
#include "actors/director/role_plans.hpp"
#include "actors/link/site.hpp"
#include "gpu/device.hpp"

#include <algorithm>
#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <iostream>
#include <kj/exception.h>
#include <prometheus/counter.h>
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
  const bool chief = roles.contains("director") || roles.contains("replay-buffer") ||
                     roles.contains("learner") || roles.contains("broadcaster");
  if (chief && !roles.contains("director"))
    throw std::runtime_error(
        "replay-buffer, learner and broadcaster run in the director's process: --role director");
  if (!chief && roles.size() > 1)
    throw std::runtime_error("a process is a generator or a verifier; start one for each");
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
  training.trace = options.trace;
  training.serve =
      DirectorProcess{options.name.empty() ? "director" : options.name, roles.contains("generator"),
                      roles.contains("verifier"), options.ready_file, options.run_directory};
  return train(training);
}

std::vector<std::string> addresses_of(const std::string& list) {
  std::vector<std::string> addresses;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end > at) addresses.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return addresses;
}

SiteReport report_of(Telemetry& telemetry, const std::string& name, bool generator) {
  Metrics& metrics = telemetry.metrics();
  SiteReport report;
  report.process_id = static_cast<std::uint32_t>(getpid());
  const ActorTime time = telemetry.activity(name).totals_since_mark();
  report.busy_seconds = time.busy_seconds;
  report.idle_seconds = time.idle_seconds;
  if (!generator) {
    for (const char* outcome : {"pass", "fail", "infra_error"})
      report.tokens += static_cast<std::uint64_t>(
          metrics.counter("troupe_verifier_verdicts_total", outcome).Value());
    return report;
  }
  report.tokens = static_cast<std::uint64_t>(
      metrics.counter("troupe_generator_generated_tokens_total").Value());
  report.in_flight =
      static_cast<std::uint32_t>(metrics.gauge("troupe_generator_inflight", name).Value());
  const double version = metrics.gauge("troupe_generator_weights_version", name).Value();
  if (report.tokens > 0) report.version = static_cast<std::uint64_t>(version);
  return report;
}

SitePlan site_plan(const Config& config, const Materials& materials, const Backends& backends,
                   Telemetry& telemetry, caf::actor_system& system, const std::string& role,
                   const std::string& name) {
  SitePlan plan;
  plan.name = name;
  plan.role = role;
  plan.addresses = addresses_of(config.network.director);
  plan.tls = tls_files(config.network, name, role);
  plan.limits = config.network.limits;
  plan.config_digest = shared_digest(config);
  plan.away_deadline_seconds = config.network.away_deadline_seconds;
  plan.rollouts_at_once = rollouts_per_message(config, materials);
  plan.weights = weight_terms(config, materials.decoder);
  plan.deadlines = deadlines_of(config);
  plan.telemetry = &telemetry;
  plan.system = &system;
  auto casts = std::make_shared<std::atomic<std::uint32_t>>(0);
  plan.cast_generator = [&, name, casts](const CallSheet& sheet, const ReplayBuffer& buffer,
                                         const Broadcaster& broadcaster) -> Generator {
    telemetry.activity(name).mark();
    return system.spawn<caf::detached>(
        generator,
        generator_plan(config, materials, backends, telemetry, sheet.stage, name, (*casts)++),
        buffer, broadcaster);
  };
  plan.cast_verifier = [&, name](const CallSheet&, const ReplayBuffer& buffer) -> Verifier {
    telemetry.activity(name).mark();
    return system.spawn<caf::detached>(verifier, verifier_plan(config, materials, telemetry, name),
                                       buffer);
  };
  plan.report = [&telemetry, name, is_generator = role == "generator"] {
    return report_of(telemetry, name, is_generator);
  };
  return plan;
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

int serve_site(const ServeOptions& options, const std::string& role) {
  std::optional<Config> checked = checked_config(options.config, options.overrides);
  if (!checked) return exit_bad_input;
  Config& config = *checked;
  share_out_threads(config, 1, false);
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
  Telemetry telemetry(seen);
  SystemConfig system_config;
  caf::actor_system system(system_config);
  SiteEnd end;
  try {
    Site site(site_plan(config, materials, backends, telemetry, system, role, name));
    interrupts.tell([&] {
      telemetry.event("leaving", name + " hands over what it finished; once more to stop at once");
      site.leave(config.network.drain_seconds);
    });
    end = site.wait();
    interrupts.tell({});
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
