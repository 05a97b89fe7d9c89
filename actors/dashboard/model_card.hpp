#pragma once
// What goes with a model that a run has made: where it comes from, what it was trained on, how well it does, what to mind.
#include "actors/telemetry/run_log.hpp"

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace troupe {

/// Markdown with the metadata block that model hubs read; of a run that goes on, as far as it is.
std::string model_card(const RunLog& run);

/// {"run", "config_digest", "model", "build", "started_at", "ended", "weights_digest", "config": {...}, "files": [{"name",
/// "bytes"}]}: what identifies the run and lies in its directory. What is not known is absent.
nlohmann::ordered_json run_manifest(const RunLog& run, const std::filesystem::path& run_directory);

}  // namespace troupe
