#include "actors/cli/process.hpp"

#include "actors/cli/commands.hpp"
#include "gpu/model/manifest.hpp"
#include "messages/pki/identity.hpp"

#include <algorithm>
#include <caf/atom.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <prometheus/gauge.h>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace troupe {

namespace fs = std::filesystem;

std::optional<Config> checked_config(const fs::path& file,
                                     const std::vector<std::string>& overrides) {
  ConfigResult loaded = load_config(file, overrides);
  for (const ConfigProblem& warning : loaded.warnings)
    std::cerr << "warning: " << render(warning) << "\n";
  for (const ConfigProblem& problem : loaded.problems) std::cerr << render(problem) << "\n";
  if (!loaded.problems.empty()) return std::nullopt;
  return std::move(loaded.config);
}

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

void share_out_threads(Config& config, std::int32_t generators, bool learner) {
  if (config.run.threads == 0)
    config.run.threads =
        std::max(1, static_cast<std::int32_t>(std::thread::hardware_concurrency()));
  const std::int32_t share =
      std::max(1, config.run.threads / std::max(1, generators + (learner ? 1 : 0)));
  if (config.generator.threads == 0) config.generator.threads = share;
  if (config.learner.threads == 0) config.learner.threads = share;
}

namespace {

std::string new_run_id() {
  std::random_device device;
  char hex[33];
  std::snprintf(hex, sizeof hex, "%08x%08x%08x%08x", device(), device(), device(), device());
  return hex;
}

}  // namespace

TelemetryOptions telemetry_options(const Config& config, const fs::path& directory,
                                   const gpu::DecoderConfig& decoder) {
  TelemetryOptions telemetry;
  telemetry.run_directory = directory;
  telemetry.colour = std::getenv("NO_COLOR") == nullptr;
  telemetry.metrics_address = config.metrics.address;
  if (config.metrics.port != 0) telemetry.metrics_port = config.metrics.port;
  telemetry.progress_deadline_seconds = config.metrics.progress_deadline_seconds;
  telemetry.lineage = config.metrics.lineage;
  telemetry.tensorboard = config.metrics.tensorboard;
  telemetry.run_id = new_run_id();
  telemetry.run_name = directory.filename().string();
  telemetry.config_json = config_json(config);
  telemetry.config_digest = config_digest(config);
  telemetry.model_description = gpu::architecture(decoder) + ", " +
                                std::to_string(gpu::manifest_of(decoder).elements) + " parameters";
  telemetry.build_description = build_description();
  telemetry.environment = config.task.kind;
  return telemetry;
}

SystemConfig::SystemConfig() {
  set("scheduler.max-threads", 2u);
  set("scheduler.max-throughput", 100u);
  set("scheduler.policy", caf::atom("sharing"));
}

pki::LeafFiles leaf_files(const std::filesystem::path& directory, const std::string& name) {
  std::string stem = name;
  for (std::size_t dash = name.rfind('-');
       dash != std::string::npos && dash > 0 && !fs::exists(directory / (stem + ".pem"));
       dash = name.rfind('-', dash - 1)) {
    const std::string pool = pki::file_stem(name.substr(0, dash + 1) + "*");
    if (fs::exists(directory / (pool + ".pem"))) stem = pool;
  }
  return {directory / (stem + ".pem"), directory / (stem + ".key"), directory / "ca.pem",
          directory / "crl.pem"};
}

namespace {

/// Without network.revocation-list crl.pem is named only if it lies there all the same: an error.
pki::LeafFiles link_files(const NetworkConfig& network, const std::string& name) {
  pki::LeafFiles files = leaf_files(network.pki, name);
  if (!network.revocation_list && !fs::exists(files.revoked)) files.revoked.clear();
  return files;
}

}  // namespace

std::optional<wire::TlsFiles> tls_files(const NetworkConfig& network, const std::string& name,
                                        const std::string& role) {
  if (network.insecure) return std::nullopt;
  if (network.pki.empty())
    throw std::runtime_error(
        "network.pki: there are no certificates; make some (troupe pki init DIR) and name the "
        "folder, or set "
        "network.insecure on a loopback address");
  const pki::LeafFiles files = link_files(network, name);
  const pki::Certificate certificate = pki::require_usable(
      files, pki::wall_clock(),
      network.revocation_list ? pki::Revocations::listed : pki::Revocations::none);
  const std::string certified =
      certificate.identity ? std::string(pki::role_name(certificate.identity->role)) : "none";
  if (certified != role)
    throw std::runtime_error(files.certificate.string() + ": the certificate is of role " +
                             certified + ", and " + role +
                             " is needed; issue one: troupe pki issue " + network.pki.string() +
                             " --role " + role + " --name NAME");
  return wire::TlsFiles{files.authority.string(), files.certificate.string(), files.key.string(),
                        files.revoked.string()};
}

void watch_links(Telemetry& telemetry, const NetworkConfig& network, const std::string& name) {
  telemetry.metrics()
      .gauge("troupe_link_tls", network.insecure ? "insecure" : "mutual-tls-1.3")
      .Set(1);
  if (network.insecure) return;
  if (!network.revocation_list)
    telemetry.event("warning",
                    "no certificate can be revoked (network.revocation-list = false): whom the "
                    "authority has signed is let in until the certificate ends");
  telemetry.before_scrape(
      [file = leaf_files(network.pki, name).certificate, name](Metrics& metrics) {
        try {
          const pki::Certificate found = pki::inspect_file(file, pki::wall_clock()).certificate;
          metrics.gauge("troupe_link_certificate_expiry_timestamp_seconds", name)
              .Set(static_cast<double>(found.not_after.time_since_epoch().count()));
        } catch (const std::exception&) {  // one that is being replaced: the figure stays
        }
      });
}

void end_process_after(double seconds) {
  std::thread([seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    std::cerr << "troupe: an actor does not end; ending without it\n";
    _exit(exit_failed);
  }).detach();
}

}  // namespace troupe
