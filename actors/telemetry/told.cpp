#include "actors/telemetry/told.hpp"

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

namespace troupe {
namespace {

using Json = nlohmann::json;

/// Of a line without what differs from one writing to the next; empty: it does not count.
std::string key_of(const Json& line) {
  const std::string type = line.value("type", "");
  if (type.empty() || type == "run" || type == "ledger") return {};
  Json key = line;
  for (const char* time : {"seconds", "evaluation_seconds", "wall_seconds"}) key.erase(time);
  return key.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json parsed(const std::string& line) {
  Json json = Json::parse(line, nullptr, false);
  return json.is_object() ? json : Json::object();
}

bool is_update(const std::string& line) {
  return line.starts_with("{\"type\":\"update\"") || line.starts_with("{\"type\":\"supervised\"");
}

}  // namespace

bool Told::take(const std::string& line) {
  if (others.empty()) return false;
  const auto found = others.find(key_of(parsed(line)));
  if (found == others.end()) return false;
  if (--found->second == 0) others.erase(found);
  return true;
}

Told read_told(const std::filesystem::path& metrics_jsonl) {
  Told told;
  std::error_code error;  // no such file: nothing was said
  if (!std::filesystem::is_regular_file(metrics_jsonl, error))
    return told;  // a device may have no end
  const auto written = std::filesystem::last_write_time(metrics_jsonl, error);
  if (error) return told;
  told.age_seconds =
      std::chrono::duration<double>(std::filesystem::file_time_type::clock::now() - written)
          .count();
  std::ifstream file(metrics_jsonl);
  std::string update;  // only the newest is parsed: there may be a million
  for (std::string line; std::getline(file, line) && !file.eof();) {
    if (is_update(line)) {
      update = line;
    } else if (const std::string key = key_of(parsed(line)); !key.empty()) {
      ++told.others[key];
    }
  }
  const Json newest = parsed(update);
  if (newest.contains("stage") && newest.contains("update"))
    told.newest = {newest["stage"].get<std::int32_t>(), newest["update"].get<std::int32_t>()};
  return told;
}

}  // namespace troupe
