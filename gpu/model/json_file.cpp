#include "gpu/model/json_file.hpp"

#include "gpu/error.hpp"

#include <fstream>
#include <iterator>
#include <set>
#include <vector>

namespace troupe::gpu {

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::set<std::string>> open_objects;
  const auto on_event = [&](int, Event event, const nlohmann::json& parsed) {
    if (event == Event::object_start) open_objects.emplace_back();
    if (event == Event::object_end) open_objects.pop_back();
    if (event == Event::key && !open_objects.back().insert(parsed.get<std::string>()).second) {
      throw Error(where + ": the key '" + parsed.get<std::string>() + "' occurs twice");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, on_event);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(where + " is not valid JSON: " + error.what());
  }
}

nlohmann::json read_json(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) throw Error("cannot read " + file.string());
  return parse_json(text, file.string());
}

}  // namespace troupe::gpu
