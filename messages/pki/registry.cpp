#include "messages/pki/registry.hpp"

#include "messages/pki/error.hpp"
#include "messages/pki/files.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace troupe::pki {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

Time time_at(const Json& record, const char* key) {
  const auto text = record.at(key).get<std::string>();
  const std::optional<Time> time = parse_time(text);
  if (!time) throw Error(std::string(key) + " is no time: " + text);
  return *time;
}

Record record_of(const Json& json) {
  Record record;
  record.serial = json.at("serial").get<std::string>();
  record.fingerprint = json.at("fingerprint").get<std::string>();
  const auto role = json.at("role").get<std::string>();
  const std::optional<Role> known = parse_role(role);
  if (!known) throw Error("there is no role " + role);
  record.identity = {*known, json.at("name").get<std::string>()};
  require_name(record.identity);
  record.hosts = json.at("hosts").get<std::vector<std::string>>();
  record.lifetime = std::chrono::days(json.at("lifetime_days").get<int>());
  record.not_before = time_at(json, "not_before");
  record.not_after = time_at(json, "not_after");
  if (json.contains("revoked")) record.revoked = time_at(json, "revoked");
  return record;
}

Json json_of(const Record& record) {
  Json json = {{"serial", record.serial},
               {"fingerprint", record.fingerprint},
               {"role", role_name(record.identity.role)},
               {"name", record.identity.name},
               {"hosts", record.hosts},
               {"lifetime_days", record.lifetime.count()},
               {"not_before", format_time(record.not_before)},
               {"not_after", format_time(record.not_after)}};
  if (record.revoked) json["revoked"] = format_time(*record.revoked);
  return json;
}

Registry registry_of(const Json& json) {
  if (json.at("format").get<int>() != kFormat)
    throw Error("its format is " + json.at("format").dump() + ", not " + std::to_string(kFormat));
  Registry registry;
  registry.crl_number = json.at("crl_number").get<std::uint64_t>();
  for (const Json& record : json.at("issued")) registry.records.push_back(record_of(record));
  return registry;
}

}  // namespace

const Record* Registry::newest(std::string_view name) const {
  const auto found = std::find_if(records.rbegin(), records.rend(), [&](const Record& record) {
    return record.identity.name == name;
  });
  return found == records.rend() ? nullptr : &*found;
}

bool Registry::has_serial(std::string_view serial) const {
  return std::any_of(records.begin(), records.end(),
                     [&](const Record& record) { return record.serial == serial; });
}

std::vector<const Record*> Registry::current() const {
  std::vector<const Record*> result;
  for (const Record& record : records) {
    const auto same = std::find_if(result.begin(), result.end(), [&](const Record* other) {
      return other->identity.name == record.identity.name;
    });
    if (same == result.end())
      result.push_back(&record);
    else
      *same = &record;
  }
  return result;
}

const Record* Registry::in_the_way_of(std::string_view name, Time now) const {
  for (const Record& record : records)
    if (!record.revoked && record.not_after > now && record.identity.name != name &&
        overlap(record.identity.name, name))
      return &record;
  return nullptr;
}

Registry read_registry(const std::filesystem::path& file) {
  const std::string text = read_bounded(file, kLongestList);
  try {
    return registry_of(Json::parse(text));
  } catch (const std::exception& error) {
    throw Error(file, std::string("is not the record of an authority (") + error.what() +
                          "); restore it from a backup, for without it nothing can be revoked");
  }
}

void write_registry(const std::filesystem::path& file, const Registry& registry) {
  Json issued = Json::array();
  for (const Record& record : registry.records) issued.push_back(json_of(record));
  const Json json = {
      {"format", kFormat}, {"crl_number", registry.crl_number}, {"issued", std::move(issued)}};
  write_atomically(file, json.dump(1) + "\n", kPrivateFile);
}

}  // namespace troupe::pki
