#pragma once
// Every key of the config file, once: name, member, range, unit, comment. Loading, checking,
// printing, JSON, digest and suggestions all read this list, so a new key is one line in a schema_*.cpp
// (and one member in config.hpp).
#include "actors/config/config.hpp"
#include "actors/config/value.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::config {

/// Kinds of stages a key belongs to, as a set of bits; 0 for keys outside of stages.
using Kinds = unsigned;
inline constexpr Kinds kPretrain = 1, kSft = 2, kRl = 4, kEval = 8;
/// In the order of their bits.
const std::vector<std::string>& stage_kinds();

/// What else must hold for a key to mean something.
enum class Needs {
  nothing,
  own_model,   // model.path is not given
  own_corpus,  // the stage's documents are not given
};

/// Whose member a key is.
struct Target {
  Config& config;
  StageConfig* stage = nullptr;  // for the keys of [[stage]] only
};

struct Key {
  std::string name;
  Rule rule;
  Kinds kinds = 0;
  Needs needs = Needs::nothing;
  std::string unit, comment;
  std::function<Slot(Target)> member;
};

struct Section {
  std::string name, comment;
  std::vector<Key> keys;

  const Key* find(std::string_view key) const;
  std::vector<std::string> key_names() const;
};

/// In the order of the printed file; the last one is [[stage]]. Safe from any thread.
const std::vector<Section>& sections();
/// nullptr if there is none of that name.
const Section* find_section(std::string_view name);
const Section& stage_section();

/// Empty if the key may be given in this config (for stage keys: in this stage), else why not. The
/// reason completes "...: ".
std::optional<Complaint> inapplicable(const Key& key, const Config& config,
                                      const StageConfig* stage);

/// Unit, range and default in a few words: "rollouts; 1 to 65536; default 256". May be empty.
std::string facts(const Key& key);
/// The comment and the facts as TOML comment lines.
std::string key_comment(const Key& key);

}  // namespace troupe::config
