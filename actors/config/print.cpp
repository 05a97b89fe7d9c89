#include "actors/config/schema.hpp"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

namespace troupe {
namespace {

using namespace config;

constexpr std::size_t kWidth = 100;

/// The words of `text` as comment lines of at most kWidth columns.
std::string as_comment(const std::string& text) {
  std::string result, line = "#";
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    const auto word = text.substr(at, end - at);
    if (line.size() > 1 && line.size() + 1 + word.size() > kWidth) {
      result += line + "\n";
      line = "#";
    }
    line += " " + word;
    at = end + 1;
  }
  return result + line + "\n";
}

/// Calls visit(section, stage index or -1, key, value) for every key that applies, in the order of
/// the file.
template <class Visit>
void for_each_value(const Config& given, const Visit& visit) {
  Config config = given;  // slots point to members that may be written
  const auto walk = [&](const Section& section, int index, StageConfig* stage) {
    for (const auto& key : section.keys)
      if (!inapplicable(key, config, stage))
        visit(section, index, key, load(key.member({config, stage}), key.rule));
  };
  for (const auto& section : sections())
    if (&section != &stage_section()) walk(section, -1, nullptr);
  for (std::size_t i = 0; i < config.stages.size(); ++i)
    walk(stage_section(), static_cast<int>(i), &config.stages[i]);
}

nlohmann::ordered_json to_json(const Value& value) {
  return std::visit(
      []<class Plain>(const Plain& plain) -> nlohmann::ordered_json {
        if constexpr (std::is_same_v<Plain, Foreign>)
          return nullptr;
        else
          return plain;
      },
      value);
}

bool is_path(const Key& key) {
  Config config;
  StageConfig stage;
  return std::holds_alternative<std::filesystem::path*>(key.member({config, &stage}));
}

}  // namespace

std::string config::key_comment(const Key& key) {
  const std::string extra = facts(key);
  return as_comment(extra.empty() ? key.comment : key.comment + " (" + extra + ")");
}

std::string render(const ConfigProblem& problem) {
  std::string text = problem.file;
  if (problem.line != 0)
    text += ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column);
  if (!problem.key.empty()) text += ": " + problem.key;
  text += ": " + problem.message;
  return problem.remedy.empty() ? text : text + "; " + problem.remedy;
}

std::string problems_json(const std::vector<ConfigProblem>& problems) {
  auto list = nlohmann::ordered_json::array();
  for (const ConfigProblem& problem : problems)
    list.push_back({{"file", problem.file},
                    {"line", problem.line},
                    {"column", problem.column},
                    {"key", problem.key},
                    {"message", problem.message},
                    {"remedy", problem.remedy}});
  // File names need not be UTF-8.
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string print_config(const Config& config) {
  std::string text;
  const Section* last_section = nullptr;
  int last_index = -1;
  std::set<const Key*> explained;  // keys of stages are explained where they first occur
  for_each_value(config,
                 [&](const Section& section, int index, const Key& key, const Value& value) {
                   if (&section != last_section)
                     text += (text.empty() ? "" : "\n") + as_comment(section.comment);
                   if (index > 0 && index != last_index) text += "\n";
                   if (&section != last_section || index != last_index)
                     text += index < 0 ? "[" + section.name + "]\n" : "[[" + section.name + "]]\n";
                   last_section = &section;
                   last_index = index;
                   if (explained.insert(&key).second) text += key_comment(key);
                   text += key.name + " = " + to_toml(value) + "\n";
                 });
  return text;
}

std::string config_json(const Config& config) {
  nlohmann::ordered_json root;
  root[stage_section().name] = nlohmann::ordered_json::array();
  nlohmann::ordered_json sections_first;
  for_each_value(config,
                 [&](const Section& section, int index, const Key& key, const Value& value) {
                   auto& table = index < 0 ? sections_first[section.name]
                                           : root[section.name][static_cast<std::size_t>(index)];
                   table[key.name] = to_json(value);
                 });
  sections_first.update(root);
  return sections_first.dump(2);
}

namespace {

std::string digest_of(const Config& config,
                      const std::function<bool(const std::string&, const std::string&)>& counts) {
  std::string text;
  for_each_value(config,
                 [&](const Section& section, int index, const Key& key, const Value& value) {
                   if (!counts(section.name, key.name)) return;
                   text += section.name + "." + std::to_string(index) + "." + key.name + " = ";
                   // Where files lie differs from machine to machine; whether one is given does not.
                   const auto* path = is_path(key) ? std::get_if<std::string>(&value) : nullptr;
                   const bool here = path == nullptr;
                   text += (here                                                 ? to_toml(value)
                            : path->empty() || key.rule.path == PathKind::output ? ""
                                                                                 : "given") +
                           "\n";
                 });
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
  return hex;
}

}  // namespace

std::string config_digest(const Config& config) {
  return digest_of(config, [](const std::string&, const std::string&) { return true; });
}

std::string shared_digest(const Config& config) {
  return digest_of(config, [](const std::string& section, const std::string& key) {
    for (const char* local : {"network", "metrics", "director", "broadcaster"})
      if (section == local) return false;
    if (section == "run") return key == "seed";
    if (section == "generator" || section == "learner" || section == "verifier")
      return key != "count" && key != "slots" && key != "threads" && key != "engine";
    return true;
  });
}

}  // namespace troupe
