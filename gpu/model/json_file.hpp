#pragma once
// JSON as model files hold it. Included by sources of this folder only.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace troupe::gpu {

/// Errors: throws gpu::Error starting with `where` on malformed text and on a key that occurs twice
/// in an object.
nlohmann::json parse_json(std::string_view text, const std::string& where);
nlohmann::json read_json(const std::filesystem::path& file);

}  // namespace troupe::gpu
