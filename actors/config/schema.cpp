#include "actors/config/schema.hpp"

#include "actors/config/schema_rows.hpp"

#include <functional>
#include <limits>
#include <utility>

namespace troupe::config {
namespace {

std::string listed(Kinds kinds) {
  std::string text;
  const auto& names = stage_kinds();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((kinds >> i & 1) == 0) continue;
    if (!text.empty()) text += kinds >> (i + 1) == 0 ? " and " : ", ";
    text += names[i];
  }
  return text;
}

Kinds kind_bit(const std::string& kind) {
  const auto& names = stage_kinds();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == kind) return Kinds{1} << i;
  return 0;
}

}  // namespace

const std::vector<std::string>& stage_kinds() {
  static const std::vector<std::string> kinds = {"pretrain", "sft", "rl", "eval"};
  return kinds;
}

const std::vector<Section>& sections() {
  static const std::vector<Section> all = {
      run_section(),        model_section(),    task_section(),          director_section(),
      generator_section(),  verifier_section(), replay_buffer_section(), learner_section(),
      evaluation_section(), metrics_section(),  broadcaster_section(),   network_section(),
      stages_section()};
  return all;
}

const Section& stage_section() {
  return sections().back();
}

const Section* find_section(std::string_view name) {
  for (const auto& section : sections())
    if (section.name == name) return &section;
  return nullptr;
}

const Key* Section::find(std::string_view key) const {
  for (const auto& candidate : keys)
    if (candidate.name == key) return &candidate;
  return nullptr;
}

std::vector<std::string> Section::key_names() const {
  std::vector<std::string> names;
  for (const auto& key : keys) names.push_back(key.name);
  return names;
}

std::optional<Complaint> inapplicable(const Key& key, const Config& config,
                                      const StageConfig* stage) {
  if (stage != nullptr && kind_bit(stage->kind) != 0 && (key.kinds & kind_bit(stage->kind)) == 0)
    return Complaint{"does not belong to a stage of kind " + to_toml(stage->kind) + ", only to " +
                         listed(key.kinds),
                     "remove it"};
  if (key.needs == Needs::own_corpus && !stage->documents.empty())
    return Complaint{"is for the built-in corpus, but this stage reads its documents from a file",
                     "remove it, or remove documents"};
  if (key.needs == Needs::own_model && !config.model.path.empty())
    return Complaint{"the model's shape comes from the folder in model.path",
                     "remove it, or remove model.path"};
  return {};
}

std::string facts(const Key& key) {
  Config config;
  StageConfig stage;
  const Slot member = key.member({config, &stage});
  std::string text = key.unit;
  const auto add = [&](const std::string& fact) {
    text += (text.empty() || fact.empty() ? "" : "; ") + fact;
  };
  add(key.rule.choices.empty() ? bounds(key.rule) : expectation(member, key.rule));
  const Value initial = load(member, key.rule);
  // What has no valid default is required, or says in its comment what it falls back to.
  if (!store(initial, member, key.rule, {})) add("default " + to_toml(initial));
  return text;
}

}  // namespace troupe::config
