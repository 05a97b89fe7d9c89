#pragma once
// lineage.jsonl: which rollouts an update was made from, and what became of all others. One JSON object per line,
// written as things happen; fields in deploy/summary.md. Each line ends with a hash over itself and all before it, so
// that a changed byte shows.
#include "actors/telemetry/line_file.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

inline constexpr int kLineageVersion = 1;

/// What a stage's ledger goes by.
struct LineageRules {
  std::uint64_t staleness_bound = 0, first_version = 0;
  std::uint32_t batch = 0, group_size = 0, updates = 0;
};

/// Which attempt at which rollout.
struct RolloutKey {
  std::uint64_t id = 0, ticket = 0;
  std::uint32_t index = 0, attempt = 0;
};

struct TrainedRollout {
  RolloutKey key;
  std::uint64_t prompt_uid = 0, tokens = 0;  // of the completion
  std::string generator, verifier;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> versions;  // version, tokens
  double reward = 0;
};

/// What the learner took for one update.
struct TrainedUpdate {
  std::int32_t stage = 0, update = 0;
  std::uint64_t version = 0, batch = 0;  // trained at; the batch's number
  bool refused = false;                  // thrown away: its rollouts are dropped
  std::vector<TrainedRollout> rollouts;
};

/// An attempt that nothing will be trained on. Of reason "late": its length, which was not known when it was dropped.
struct DroppedRollout {
  RolloutKey key;
  std::string holder, reason;
  std::optional<std::uint64_t> tokens;
  bool part = false;  // no rollout: the tokens that a rollout was to go on from
};

/// Where the file ends.
struct LineageEnd {
  std::uint64_t lines = 0;
  std::string chain;  // of the last line
};

/// Safe from any thread.
class Lineage {
 public:
  /// Replaces the file. `lost` hears once if a line could not be written.
  Lineage(const std::filesystem::path& file, const std::string& run,
          const std::string& config_digest, std::function<double()> seconds,
          std::function<void()> lost);

  void stage_begins(std::int32_t stage);
  void rules(const LineageRules& rules);
  void published(std::uint64_t version, const std::string& digest);
  /// A generator computes with this version; digest: of the values it holds.
  void held(const std::string& generator, std::uint64_t version, const std::string& digest);
  void trained(const TrainedUpdate& update);
  void dropped(const DroppedRollout& rollout);
  LineageEnd end() const;

 private:
  void write(const char* type, const nlohmann::ordered_json& fields);

  const std::function<double()> seconds_;
  const std::function<void()> lost_;
  mutable std::mutex mutex_;  // all below
  LineFile file_;
  LineageEnd end_;
  std::int32_t stage_ = 0;
};

}  // namespace troupe
