#include "actors/telemetry/health.hpp"

#include "actors/telemetry/text.hpp"

#include <nlohmann/json.hpp>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;

HttpReply reply(bool good, const Json& body) {
  return {good ? 200 : 503, "application/json", dump_json(body) + "\n"};
}

}  // namespace

HttpReply health_page(const std::vector<Vitals>& actors, double deadline_seconds) {
  Json body = {{"status", "ok"}, {"actors", Json::object()}};
  for (const Vitals& one : actors) {
    body["actors"][one.actor] = {{"doing", one.doing},
                                 {"seconds_without_progress", one.seconds_at_work}};
    if (one.seconds_at_work <= deadline_seconds) continue;
    body["status"] = "stalled";
    body["stalled"].push_back(one.actor);
  }
  return reply(body["status"] == "ok", body);
}

HttpReply readiness_page(const std::map<std::string, bool>& needs) {
  Json body = {{"status", "ready"}, {"needs", Json::object()}};
  for (const auto& [need, met] : needs) {
    body["needs"][need] = met;
    if (!met) body["status"] = "not ready";
  }
  return reply(body["status"] == "ready", body);
}

}  // namespace troupe
