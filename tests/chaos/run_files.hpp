#pragma once
// What a run left on disk, read by somebody who has nothing in common with those who wrote it.
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::chaos {

using Json = nlohmann::json;

struct Key {  // of a rollout in a stage
  std::int64_t stage = 0;
  std::string id;
  auto operator<=>(const Key&) const = default;
};

struct Rollout {
  std::string id, prompt, generator, verifier;
  std::uint64_t ticket = 0, index = 0, attempt = 0, tokens = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> versions;  // version, tokens
};

struct Update {
  std::int64_t stage = 0, update = 0;
  std::uint64_t version = 0;
  bool refused = false;
  std::vector<Rollout> rollouts;
};

struct Dropped {
  std::int64_t stage = 0;
  std::string id, reason;
  std::uint64_t ticket = 0, index = 0, attempt = 0;
  std::optional<std::uint64_t> tokens;
  bool part = false;  // of a rollout that another was to go on from
};

struct Rules {
  std::uint64_t bound = 0, first_version = 0, batch = 0, group_size = 0, updates = 0;
};

struct Held {  // weights that a generator computed with
  std::string file, generator, digest;
  std::uint64_t version = 0;
};

/// A run directory, with those of its processes below it.
struct Run {
  std::filesystem::path directory;
  Json summary;
  std::vector<Json> metrics;
  std::vector<Json>
      faults;  // what a harness did: {"time", "fault", "name"} or {"exit", "code", "expected"}
  std::map<std::int64_t, Rules> rules;  // by stage
  std::vector<Update> updates;
  std::vector<Dropped> dropped;
  std::vector<std::pair<std::uint64_t, std::string>> published;  // version, digest
  std::vector<Held> held;
  std::size_t lineage_lines = 0;
  /// Whatever is not as it was written: a broken chain, a line that is no JSON, a missing file.
  std::vector<std::string> damage;

  /// The lines of metrics.jsonl of one type.
  std::vector<Json> lines(const std::string& type) const;
};

Run read_run(const std::filesystem::path& directory);

/// SHA-256 in hex digits.
std::string sha256(const std::string& text);

}  // namespace troupe::chaos
