#pragma once
// The gate of a run: where it is, and who is told that it is open.
#include "actors/config/config.hpp"
#include "actors/director/materials.hpp"
#include "actors/link/office.hpp"
#include "actors/telemetry/telemetry.hpp"

#include <filesystem>
#include <string>

namespace troupe {

/// Of the process called `name`, whose certificate is of the role that has the gate. It begins a run: its id is new.
/// Errors: throws std::runtime_error naming file or key, reason and remedy.
OfficePlan office_plan(const Config& config, const Materials& materials, const std::string& name,
                       Telemetry& telemetry);

/// For whoever waits for this process: it can be dialled, and where its files are. Appears at once or not at all.
void write_ready_file(const std::filesystem::path& file, const std::string& address,
                      const std::filesystem::path& directory);

}  // namespace troupe
