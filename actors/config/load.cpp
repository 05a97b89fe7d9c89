#include "actors/config/check.hpp"
#include "actors/config/schema.hpp"
#include "actors/config/suggest.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <toml++/toml.h>
#include <tuple>

namespace troupe {
namespace {

using namespace config;

Value as_value(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* string = node.as_string()) return string->get();
  if (node.is_table()) return Foreign{"a table"};
  if (node.is_array_of_tables()) return Foreign{"an array of tables"};
  const auto* array = node.as_array();
  if (array == nullptr) return Foreign{"a date or time"};
  std::vector<std::int64_t> list;
  for (const auto& element : *array) {
    const auto* integer = element.as_integer();
    if (integer == nullptr) return Foreign{"a list that holds something else"};
    list.push_back(integer->get());
  }
  return list;
}

std::string node_type(const toml::node& node) {
  return type_name(as_value(node));
}

std::string bracketed(const Section& section) {
  return &section == &stage_section() ? "[[stage]]" : "[" + section.name + "]";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

class Loader {
 public:
  Loader(const std::filesystem::path& file, ConfigResult& result) : result_(result) {
    config().file = file;
    record_.file = {file.string(), 1, 1};
  }

  void run(const std::vector<std::string>& overrides, const DeviceProblem& device_problem) {
    if (!read_file()) return;
    const bool path_in_file = record_.set.count("model.path") != 0;
    for (const auto& text : overrides) override_key(text);
    if (!path_in_file && !config().model.path.empty()) forget_shape();
    resolve();
    inapplicable_keys();
    check(config(), record_, device_problem, result_.problems, result_.warnings);
    sort(result_.problems);
    sort(result_.warnings);
  }

 private:
  Config& config() { return result_.config; }

  void problem(const Place& place, std::string key, std::string message, std::string remedy) {
    result_.problems.push_back({place.file, std::move(key), std::move(message), std::move(remedy),
                                place.line, place.column});
  }

  Place place(const toml::source_region& region) const {
    return {record_.file.file, region.begin.line, region.begin.column};
  }

  /// False if nothing could be read at all.
  bool read_file() {
    std::error_code error;
    const auto& file = config().file;
    if (std::filesystem::is_directory(file, error))
      error = std::make_error_code(std::errc::is_a_directory);
    std::ifstream in(file, std::ios::binary);
    if (!in && !error) error = {errno, std::generic_category()};
    if (error) {
      problem({file.string()}, "", "cannot be read: " + error.message(),
              "give the path of a config file");
      return false;
    }
    std::ostringstream text;
    text << in.rdbuf();
    return read_text(text.str());
  }

  bool read_text(const std::string& text) {
    try {
      const toml::table root = toml::parse(text, record_.file.file);
      for (const auto& [name, node] : root)
        top_level(std::string(name.str()), place(name.source()), node);
      return true;
    } catch (const toml::parse_error& error) {
      problem(place(error.source()), "", "not valid TOML: " + std::string(error.description()),
              "correct this line");
      return false;
    }
  }

  void top_level(const std::string& name, const Place& at, const toml::node& node) {
    const Section* section = find_section(name);
    if (section == nullptr) return unknown_section(name, at, node);
    if (section == &stage_section()) return stages(at, node);
    if (const auto* table = node.as_table())
      return section_keys(*section, name + ".", nullptr, *table);
    if (node.is_array_of_tables())
      return problem(at, name, "is a section, not an array of tables",
                     "write [" + name + "] with single brackets");
    problem(at, name, "is a section, got " + node_type(node),
            "write [" + name + "] and its keys below");
  }

  void unknown_section(const std::string& name, const Place& at, const toml::node& node) {
    if (!node.is_table() && !node.is_array_of_tables()) {
      for (const auto& section : sections())
        if (section.find(name) != nullptr)
          return problem(at, name, "stands outside of any section",
                         "move it below " + bracketed(section));
      return problem(at, name, "unknown key, outside of any section", sections_remedy(name));
    }
    problem(at, name, "unknown section", sections_remedy(name));
  }

  std::string sections_remedy(const std::string& name) const {
    std::vector<std::string> names, brackets;
    for (const auto& section : sections()) {
      names.push_back(section.name);
      brackets.push_back(bracketed(section));
    }
    if (const auto near = nearest(name, names))
      return "did you mean " + bracketed(*find_section(*near)) + "?";
    return "the sections are " + joined(brackets);
  }

  void stages(const Place& at, const toml::node& node) {
    const auto* array = node.as_array();
    if (array == nullptr || !node.is_array_of_tables()) {
      record_.refused.insert("stage");
      return problem(at, "stage", "is an array of tables, got " + node_type(node),
                     "write [[stage]] with double brackets");
    }
    // Slots of keys point into the vector.
    config().stages.resize(array->size());
    for (std::size_t i = 0; i < array->size(); ++i) {
      const auto& table = *array->get(i)->as_table();
      record_.stages.push_back(place(table.source()));
      section_keys(stage_section(), stage_key(i, ""), &config().stages[i], table);
    }
  }

  void section_keys(const Section& section, const std::string& prefix, StageConfig* stage,
                    const toml::table& table) {
    for (const auto& [name, node] : table) {
      const std::string id = prefix + std::string(name.str());
      const Key* key = section.find(name.str());
      if (key == nullptr)
        problem(place(name.source()), id, "unknown key",
                key_remedy(section, std::string(name.str())));
      else
        set(*key, id, stage, place(node.source()), node, config().file.parent_path());
    }
  }

  static std::string key_remedy(const Section& section, const std::string& name) {
    if (const auto near = nearest(name, section.key_names())) return "did you mean " + *near + "?";
    for (const auto& other : sections())
      if (other.find(name) != nullptr) return "it is a key of " + bracketed(other);
    for (const auto& other : sections())
      if (const auto near = nearest(name, other.key_names()))
        return "did you mean " + *near + " of " + bracketed(other) + "?";
    return "the keys of " + bracketed(section) + " are " + joined(section.key_names());
  }

  void set(const Key& key, const std::string& id, StageConfig* stage, const Place& at,
           const toml::node& node, const std::filesystem::path& folder) {
    record_.set[id] = at;
    const Slot member = key.member({config(), stage});
    const auto complaint = store(as_value(node), member, key.rule, folder);
    // The last one given counts, as it does for the value.
    record_.refused.erase(id);
    if (!complaint) return;
    record_.refused.insert(id);
    problem(at, id, complaint->message, complaint->remedy);
  }

  void override_key(const std::string& text) {
    const Place at{"override '" + text + "'"};
    const auto equals = text.find('=');
    const auto name = text.substr(0, equals);
    const auto dot = name.rfind('.');
    if (equals == std::string::npos || dot == std::string::npos)
      return problem(at, "", "is not of the form section.key=value",
                     "for example replay-buffer.staleness-bound=1");
    const auto owner = name.substr(0, dot);
    const bool of_stage = owner == "stage" || owner.rfind("stage.", 0) == 0;
    const auto* section = of_stage ? &stage_section() : find_section(owner);
    if (section == nullptr) return problem(at, owner, "unknown section", sections_remedy(owner));
    const auto* key = section->find(name.substr(dot + 1));
    if (key == nullptr)
      return problem(at, name, "unknown key", key_remedy(*section, name.substr(dot + 1)));
    std::optional<std::size_t> stage;
    if (of_stage && !(stage = find_stage(at, owner.substr(std::min(owner.size(), std::size_t{6})))))
      return;
    override_value(at, *key, stage ? stage_key(*stage, key->name) : name,
                   stage ? &config().stages[*stage] : nullptr, text.substr(equals + 1));
  }

  /// By name, else by number from 1.
  std::optional<std::size_t> find_stage(const Place& at, const std::string& wanted) {
    std::vector<std::string> known;
    std::vector<std::size_t> matches;
    for (std::size_t i = 0; i < config().stages.size(); ++i) {
      const auto& stage = config().stages[i];
      const auto& name = stage.name.empty() ? stage.kind : stage.name;
      known.push_back(std::to_string(i + 1) + " (" + name + ")");
      if (name == wanted || std::to_string(i + 1) == wanted) matches.push_back(i);
    }
    if (matches.size() == 1) return matches.front();
    problem(at, "stage." + wanted,
            matches.empty() ? "there is no such stage" : "several stages have this name",
            known.empty() ? "the file has no stages" : "give the number of one: " + joined(known));
    return {};
  }

  /// Paths of overrides start where the command was typed.
  void override_value(const Place& at, const Key& key, const std::string& id, StageConfig* stage,
                      const std::string& text) {
    const Slot member = key.member({config(), stage});
    const bool takes_text = std::holds_alternative<std::string*>(member) ||
                            std::holds_alternative<EnumSlot>(member) ||
                            std::holds_alternative<std::filesystem::path*>(member);
    toml::table parsed;
    try {
      parsed = toml::parse("value = " + text);
    } catch (const toml::parse_error& error) {
      const bool bare = text.find_first_of("\"'[]{}\n") == std::string::npos;
      if (!bare && !takes_text)
        return problem(at, id, "the value is not valid TOML: " + std::string(error.description()),
                       "");
      parsed.insert_or_assign("value", text);
    }
    if (parsed.size() != 1)
      return problem(at, id, "holds more than one value", "give one --set for each");
    // A bare word, or what looks like a number or a date where text is wanted, is taken letter by
    // letter.
    if (takes_text && !parsed["value"].is_string()) parsed.insert_or_assign("value", text);
    set(key, id, stage, at, *parsed.get("value"), {});
  }

  /// An override of model.path stands for the shape that the file gives: what another override says
  /// of the shape still contradicts it.
  void forget_shape() {
    std::vector<std::string> names;
    for (const auto& key : find_section("model")->keys) {
      const auto given = record_.set.find("model." + key.name);
      if (key.needs != Needs::own_model || given == record_.set.end() || given->second.line == 0)
        continue;
      names.push_back(key.name);
      record_.set.erase(given);
    }
    if (names.empty()) return;
    const Place& at = record_.set.at("model.path");
    result_.warnings.push_back({at.file, "model.path",
                                "the model's shape comes from this folder; what the file says of "
                                "it is not read: " +
                                    joined(names),
                                "", at.line, at.column});
  }

  /// Fills in the defaults that follow from other keys.
  void resolve() {
    config().learner.update.objective.max_completion_tokens = config().generator.max_new_tokens;
    for (auto& stage : config().stages) {
      if (stage.name.empty()) stage.name = stage.kind;
      if (stage.digits.empty()) stage.digits = config().task.digits;
    }
  }

  void inapplicable_keys() {
    for (const auto& section : sections()) {
      if (&section != &stage_section()) inapplicable_keys(section, section.name + ".", nullptr);
    }
    for (std::size_t i = 0; i < config().stages.size(); ++i)
      inapplicable_keys(stage_section(), stage_key(i, ""), &config().stages[i]);
  }
  void inapplicable_keys(const Section& section, const std::string& prefix,
                         const StageConfig* stage) {
    for (const auto& key : section.keys) {
      const auto given = record_.set.find(prefix + key.name);
      if (given == record_.set.end()) continue;
      if (const auto reason = inapplicable(key, config(), stage))
        problem(given->second, given->first, reason->message, reason->remedy);
    }
  }

  /// In the order of the file, overrides last.
  static void sort(std::vector<ConfigProblem>& problems) {
    std::stable_sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) {
      return std::tuple(a.line == 0, a.line, a.column) < std::tuple(b.line == 0, b.line, b.column);
    });
  }

  ConfigResult& result_;
  Record record_;
};

}  // namespace

ConfigResult load_config(const std::filesystem::path& file,
                         const std::vector<std::string>& overrides,
                         const DeviceProblem& device_problem) {
  ConfigResult result;
  Loader(file, result).run(overrides, device_problem);
  return result;
}

}  // namespace troupe
