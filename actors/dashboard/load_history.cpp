#include "actors/dashboard/load_history.hpp"

#include "actors/telemetry/text.hpp"

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;  // of the file: two weeks

struct Column {
  const char *group, *name;
  std::optional<double> LoadSample::*value;
};
constexpr std::array<Column, 6> kColumns = {
    {{"idle", "generators", &LoadSample::generators},
     {"idle", "verifiers", &LoadSample::verifiers},
     {"idle", "learner", &LoadSample::learner},
     {"rollouts", "at_verifiers", &LoadSample::at_verifiers},
     {"rollouts", "buffered", &LoadSample::buffered},
     {"rollouts", "in_flight", &LoadSample::in_flight}}};

}  // namespace

Json load_json(const LoadSample& sample) {
  Json json = {{"seconds", sample.seconds}, {"idle", Json::object()}, {"rollouts", Json::object()}};
  for (const auto& [group, name, value] : kColumns)
    if (sample.*value) json[group][name] = *(sample.*value);
  return json;
}

std::optional<LoadSample> load_of_line(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("seconds") || !json["seconds"].is_number())
    return std::nullopt;
  LoadSample sample;
  sample.seconds = json["seconds"].get<double>();
  for (const auto& [group, name, value] : kColumns)
    if (json.contains(group) && json[group].is_object() && json[group].contains(name) &&
        json[group][name].is_number())
      sample.*value = json[group][name].get<double>();
  return sample;
}

ActorTime time_between(const ActorTime& then, const ActorTime& now) {
  if (now.busy_seconds < then.busy_seconds || now.idle_seconds < then.idle_seconds) return now;
  return {now.busy_seconds - then.busy_seconds, now.idle_seconds - then.idle_seconds};
}

RoleShares LoadMeter::since_before(const std::map<std::string, ActorTime>& now) {
  std::map<std::string, ActorTime> between;
  for (const auto& [actor, time] : now) {
    const auto before = before_.find(actor);
    const ActorTime added = before == before_.end() ? time : time_between(before->second, time);
    if (added.busy_seconds + added.idle_seconds > 0) between[actor] = added;
  }
  before_ = now;
  return role_shares(between);
}

void LoadHistory::add(const LoadSample& sample) {
  if (file_ && bytes_ < kMostBytes) {
    const std::string line = dump_json(load_json(sample));
    bytes_ += line.size() + 1;
    file_->write(line);
  }
  samples_.push_back(sample);
}

LoadHistory read_load(const std::filesystem::path& run_directory) {
  LoadHistory history;
  std::ifstream in(run_directory / "load.jsonl");
  for (std::string text; std::getline(in, text);)
    if (const auto sample = load_of_line(text)) history.add(*sample);
  return history;
}

Json load_history_json(const Thinned<LoadSample>& samples) {
  Json columns = {"seconds"}, rows = Json::array();
  for (const auto& column : kColumns) columns.push_back(column.name);
  for (const LoadSample& sample : samples.kept()) {
    Json row = {sample.seconds};
    for (const auto& column : kColumns)
      row.push_back(sample.*column.value ? Json(*(sample.*column.value)) : Json());
    rows.push_back(std::move(row));
  }
  return {{"columns", columns}, {"samples", rows}};
}

}  // namespace troupe
