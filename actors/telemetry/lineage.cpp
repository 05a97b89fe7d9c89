#include "actors/telemetry/lineage.hpp"

#include "actors/telemetry/text.hpp"

#include <openssl/sha.h>

#include <chrono>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

namespace troupe {

namespace {

using Json = nlohmann::ordered_json;

std::string sha256_hex(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

/// As text: not every reader of JSON holds 64 bits.
std::string hex64(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

Json key_json(const RolloutKey& key) {
  return {{"id", hex64(key.id)},
          {"ticket", key.ticket},
          {"index", key.index},
          {"attempt", key.attempt}};
}

Json rollout_json(const TrainedRollout& rollout) {
  Json json = key_json(rollout.key);
  json["prompt"] = hex64(rollout.prompt_uid);
  json["generator"] = rollout.generator;
  json["verifier"] = rollout.verifier;
  json["tokens"] = rollout.tokens;
  json["versions"] = Json::array();
  for (const auto& [version, tokens] : rollout.versions)
    json["versions"].push_back({version, tokens});
  json["reward"] = rollout.reward;
  return json;
}

}  // namespace

Lineage::Lineage(const std::filesystem::path& file, const std::string& run,
                 const std::string& config_digest, std::function<double()> seconds,
                 std::function<void()> lost)
    : seconds_(std::move(seconds)), lost_(std::move(lost)), file_(file) {
  write("lineage", {{"troupe_lineage_version", kLineageVersion},
                    {"run", run},
                    {"config_digest", config_digest},
                    {"started_at", iso_utc(std::chrono::system_clock::now())}});
}

void Lineage::write(const char* type, const Json& fields) {
  bool written = false;
  {
    const std::lock_guard lock(mutex_);
    Json line = {{"type", type}, {"seconds", seconds_()}, {"stage", stage_}};
    line.update(fields);
    std::string text = dump_json(line);
    text.pop_back();  // the closing brace
    end_.chain = sha256_hex(end_.chain + text);
    ++end_.lines;
    written = file_.write(text + ",\"chain\":\"" + end_.chain + "\"}");
  }
  if (!written) lost_();
}

void Lineage::stage_begins(std::int32_t stage) {
  const std::lock_guard lock(mutex_);
  stage_ = stage;
}

void Lineage::rules(const LineageRules& rules) {
  write("rules", {{"staleness_bound", rules.staleness_bound},
                  {"first_version", rules.first_version},
                  {"batch", rules.batch},
                  {"group_size", rules.group_size},
                  {"updates", rules.updates}});
}

void Lineage::published(std::uint64_t version, const std::string& digest) {
  write("published", {{"version", version}, {"digest", digest}});
}

void Lineage::held(const std::string& generator, std::uint64_t version, const std::string& digest) {
  write("held", {{"generator", generator}, {"version", version}, {"digest", digest}});
}

void Lineage::trained(const TrainedUpdate& update) {
  Json rollouts = Json::array();
  for (const TrainedRollout& rollout : update.rollouts) rollouts.push_back(rollout_json(rollout));
  write("trained", {{"stage", update.stage},
                    {"update", update.update},
                    {"version", update.version},
                    {"batch", update.batch},
                    {"refused", update.refused},
                    {"rollouts", rollouts}});
}

void Lineage::dropped(const DroppedRollout& rollout) {
  Json fields = key_json(rollout.key);
  fields["holder"] = rollout.holder;
  fields["reason"] = rollout.reason;
  if (rollout.tokens) fields["tokens"] = *rollout.tokens;
  if (rollout.part) fields["part"] = true;
  write("dropped", fields);
}

LineageEnd Lineage::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

}  // namespace troupe
