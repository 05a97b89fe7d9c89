#pragma once
// What every process of a run sets up before its actors.
#include "actors/config/config.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "gpu/model/decoder_config.hpp"
#include "messages/pki/inspect.hpp"
#include "messages/wire/tls.hpp"

#include <caf/actor_system_config.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Reads and checks the config; says everything that is wrong to stderr. Nothing: the exit code is exit_bad_input.
std::optional<Config> checked_config(const std::filesystem::path& file,
                                     const std::vector<std::string>& overrides);

/// <out>/<name>, or <name>-2, -3, ...: no run is ever overwritten. Errors: throws std::runtime_error.
std::filesystem::path new_run_directory(const RunConfig& run);

/// Who computes at the same time in this process, `generators` and the learner if it is here, gets an equal share of
/// run.threads, one at least.
void share_out_threads(Config& config, std::int32_t generators, bool learner);

/// Whatever the command line does not decide.
TelemetryOptions telemetry_options(const Config& config, const std::filesystem::path& directory,
                                   const gpu::DecoderConfig& decoder);

/// CAF as we run it.
struct SystemConfig : caf::actor_system_config {
  SystemConfig();
};

/// How the links of this process are made, and when its certificate ends, as metrics.
void watch_links(Telemetry& telemetry, const NetworkConfig& network, const std::string& name);

/// Where `name` has its certificate: NAME.pem, or that of the pool it is of (gen-_any.pem for gen-7f9c-x2), as in pods
/// that come and go.
pki::LeafFiles leaf_files(const std::filesystem::path& directory, const std::string& name);

/// The files of `name` in network.pki, checked: its certificate is in force and of that role; nothing with
/// network.insecure. Errors: throws std::runtime_error naming file, reason and remedy.
std::optional<wire::TlsFiles> tls_files(const NetworkConfig& network, const std::string& name,
                                        const std::string& role);

/// Whatever hangs in a computation when a process has failed must not keep it from ending.
void end_process_after(double seconds);

}  // namespace troupe
