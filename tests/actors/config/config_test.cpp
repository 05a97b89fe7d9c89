#include "actors/config/config.hpp"

#include "actors/config/schema.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

TEST_SUITE_BEGIN("actors/config");

using namespace troupe;

namespace {

const std::string kStage = "[[stage]]\nkind = \"pretrain\"\nname = \"base\"\nupdates = 5\n";
const std::string kRl = "[[stage]]\nkind = \"rl\"\nname = \"reason\"\nupdates = 5\n";

/// A folder of its own that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe_config_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  ConfigResult load(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    return load_config(write("config.toml", text), overrides);
  }
  Config good(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    const auto result = load(text, overrides);
    for (const auto& problem : result.problems) FAIL_CHECK(render(problem));
    return result.config;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::vector<config::Value> other_values(const config::Slot& member, const config::Rule& rule) {
  using namespace config;
  const Value value = load(member, rule);
  std::vector<Value> others;
  for (const auto& choice : rule.choices) others.push_back(choice);
  if (const auto* flag = std::get_if<bool>(&value)) others = {!*flag};
  if (const auto* integer = std::get_if<std::int64_t>(&value))
    others = {*integer * 2, *integer + 1, *integer + 2, *integer + 8};
  if (const auto* real = std::get_if<double>(&value))
    others = {*real * 0.75, *real + 0.123, *real + 2};
  if (std::holds_alternative<std::vector<std::int64_t>>(value))
    others = {std::vector<std::int64_t>{4, 1, 1}};
  if (std::holds_alternative<std::string>(value) && rule.choices.empty())
    others = {std::string("other \"name\""), std::string("cuda:3"), std::string("::1")};
  return others;
}

/// Sets the key to some other value under which the printed config loads; empty if there is none.
std::optional<Config> with_other_value(const Folder& folder, const Config& base,
                                       const config::Key& key) {
  Config config = base;
  StageConfig* stage = &config.stages.at(inapplicable(key, config, &config.stages[0]) ? 1 : 0);
  const auto member = key.member({config, stage});
  const auto before = config::to_toml(config::load(member, key.rule));
  for (const auto& value : other_values(member, key.rule)) {
    if (config::to_toml(value) == before || store(value, member, key.rule, {})) continue;
    if (folder.load(print_config(config)).problems.empty()) return config;
  }
  return {};
}

}  // namespace

TEST_CASE("keys that are left out have their defaults") {
  const Folder folder;
  const auto config = folder.good(kStage);
  CHECK(config.run.name == "run");
  CHECK(config.run.out == "runs");
  CHECK(config.generator.slots == 256);
  CHECK(config.learner.update.objective.correction == gpu::Correction::ppo);
  REQUIRE(config.stages.size() == 1);
  CHECK(config.stages[0].batch_documents == 16);
  CHECK(config.stages[0].mix == AdditionMix{});
}

TEST_CASE("values reach the members they name") {
  const Folder folder;
  const auto config = folder.good(
      "[replay-buffer]\nstaleness-bound = 3\n[learner]\ncorrection = \"decoupled\"\nadvantage = "
      "\"dr-grpo\"\n"
      "normaliser = \"constant\"\nclip-high = 0.5\nbeta1 = 0.8\nmax-gradient-norm = "
      "2.5\nminibatches = 2\n"
      "[metrics]\nport = 9100\nlineage = true\ntensorboard = false\n" +
      kStage + "direct = 0.25\nwork = 0.75\ndigits = [4]\n");
  CHECK(config.replay_buffer.staleness_bound == 3);
  CHECK(config.learner.update.objective.correction == gpu::Correction::decoupled);
  CHECK(config.learner.update.objective.advantage == gpu::AdvantageKind::dr_grpo);
  CHECK(config.learner.update.objective.normaliser == gpu::Normaliser::constant);
  CHECK(config.learner.update.objective.clip_high == 0.5f);
  CHECK(config.learner.update.adamw.beta1 == 0.8f);
  CHECK(config.learner.update.max_gradient_norm == 2.5f);
  CHECK(config.metrics.port == 9100);
  CHECK(config.metrics.lineage);
  CHECK_FALSE(config.metrics.tensorboard);
  CHECK(config.stages[0].mix.direct == 0.25);
  CHECK(config.stages[0].digits == std::vector<std::int32_t>{4});
}

TEST_CASE("an integer is taken for a number") {
  const Folder folder;
  CHECK(folder.good("[model]\nrope-theta = 500\n" + kStage).model.rope_theta == 500.0);
}

TEST_CASE("dotted keys and inline tables are the same as sections") {
  const Folder folder;
  const auto config = folder.good("run.seed = 4\ngenerator = {slots = 8, count = 2}\n" + kStage);
  CHECK(config.run.seed == 4);
  CHECK(config.generator.slots == 8);
  CHECK(config.generator.count == 2);
}

TEST_CASE("defaults that follow from other keys are filled in") {
  const Folder folder;
  const auto config = folder.good("[task]\ndigits = [3]\n[generator]\nmax-new-tokens = 44\n" +
                                  kStage + kRl + "[[stage]]\nkind = \"eval\"\n");
  CHECK(config.learner.update.objective.max_completion_tokens == 44);
  CHECK(config.stages[0].digits == std::vector<std::int32_t>{3});
  CHECK(config.stages[2].name == "eval");
}

TEST_CASE("input paths start at the folder of the config and outputs where one is") {
  const Folder folder;
  const auto prompts = folder.write("data/prompts.jsonl", "");
  const auto config = folder.good(
      "[run]\nout = \"some/runs\"\n[task]\nkind = \"jsonl\"\nprompts = \"./data/prompts.jsonl\"\n" +
      kStage);
  CHECK(config.task.prompts == prompts);
  CHECK(config.run.out == "some/runs");
}

TEST_CASE("overrides win over the file") {
  const Folder folder;
  const auto config = folder.good("[run]\nseed = 1\n[generator]\nslots = 4\n" + kStage + kRl,
                                  {"generator.slots=16", "run.seed=2", "run.seed=3"});
  CHECK(config.generator.slots == 16);
  CHECK(config.run.seed == 3);
}

TEST_CASE("overrides take TOML values and bare words") {
  const Folder folder;
  const auto config =
      folder.good(kStage + kRl, {"run.name=42", "run.device=cuda:1", "metrics.address=\"0.0.0.0\"",
                                 "task.digits=[1, 2]", "learner.correction=decoupled",
                                 "learner.minibatches=2", "replay-buffer.refill-zero-signal=true"});
  CHECK(config.run.name == "42");
  CHECK(config.run.device == "cuda:1");
  CHECK(config.metrics.address == "0.0.0.0");
  CHECK(config.task.digits == std::vector<std::int32_t>{1, 2});
  CHECK(config.learner.update.objective.correction == gpu::Correction::decoupled);
  CHECK(config.replay_buffer.refill_zero_signal);
}

TEST_CASE("overrides name stages by name or by number") {
  const Folder folder;
  const auto config =
      folder.good(kStage + kRl, {"stage.reason.updates=7", "stage.1.updates=9",
                                 "stage.base.name=a.b", "stage.a.b.warmup-updates=1"});
  CHECK(config.stages[0].updates == 9);
  CHECK(config.stages[1].updates == 7);
  CHECK(config.stages[0].name == "a.b");
  CHECK(config.stages[0].warmup_updates == 1);
}

TEST_CASE("an override does not excuse a bad value in the file") {
  const Folder folder;
  const auto result =
      folder.load("[model]\nheads = \"x\"\n[generator]\nslots = 0\n" + kStage, {"model.heads=128"});
  REQUIRE(result.problems.size() == 3);
  CHECK(result.problems[0].line == 2);
  CHECK(result.problems[1].line == 4);
  CHECK(result.problems[2].file == "override 'model.heads=128'");
  CHECK(result.problems[2].line == 0);
}

TEST_CASE("problems come in the order of the file with overrides last") {
  const Folder folder;
  const auto result =
      folder.load("[verifier]\nx = 1\n[generator]\nslots = 0\ny = 1\n" + kStage, {"run.z=1"});
  std::vector<std::string> keys;
  for (const auto& problem : result.problems) keys.push_back(problem.key);
  CHECK(keys == std::vector<std::string>{"verifier.x", "generator.slots", "generator.y", "run.z"});
}

TEST_CASE("the printed config loads back to the same config whatever key is changed") {
  const Folder folder;
  const auto base = folder.good(kStage + "[[stage]]\nkind = \"sft\"\nupdates = 2\n" + kRl);
  const auto base_digest = config_digest(base);
  std::set<std::string> skipped;
  for (const auto& section : config::sections()) {
    for (const auto& key : section.keys) {
      CAPTURE(section.name + "." + key.name);
      const auto changed = with_other_value(folder, base, key);
      if (!changed) {
        skipped.insert(section.name + "." + key.name);
        continue;
      }
      const auto again = folder.good(print_config(*changed));
      CHECK(print_config(again) == print_config(*changed));
      CHECK(config_digest(again) == config_digest(*changed));
      CHECK((config_digest(again) != base_digest || key.name == "out"));
    }
  }
  // What contradicts the rest of this config when changed alone.
  std::string names;
  for (const auto& name : skipped) names += name + " ";
  CHECK(names ==
        "metrics.control-token-file model.path network.learner-ranks stage.bare stage.broken "
        "stage.direct "
        "stage.documents stage.keep-optimizer stage.work task.held-out task.kind task.prompts "
        "task.shuffle ");
}

TEST_CASE("a printed config with files and a model folder loads back") {
  const Folder folder;
  folder.write("model/config.json", "{}");
  folder.write("p.jsonl", "");
  folder.write("d.jsonl", "");
  const auto config = folder.good(
      "[model]\npath = \"model\"\n[task]\nkind = \"jsonl\"\nprompts = \"p.jsonl\"\nheld-out = "
      "\"d.jsonl\"\nshuffle = true\n" +
      kStage +
      "documents = \"d.jsonl\"\n[[stage]]\nkind = \"sft\"\nupdates = 3\nkeep-optimizer = true\n"
      "documents-limit = 9\nbare = 0.1\ndirect = 0.2\nwork = 0.3\nbroken = 0.4\n");
  const auto printed = print_config(config);
  // Elsewhere, so that paths relative to the file would not be found.
  const auto again = load_config(folder.write("elsewhere/config.toml", printed), {});
  CHECK(again.problems.empty());
  CHECK(print_config(again.config) == printed);
  CHECK(again.config.model.path == folder.path() / "model");
  CHECK(again.config.stages[1].documents_limit == 9);
}

TEST_CASE("each key is explained once in the printed config") {
  const Folder folder;
  const auto printed = print_config(folder.good(kStage + kRl));
  const auto& key = *config::stage_section().find("learning-rate");
  const auto first = printed.find(config::key_comment(key) + "learning-rate = 0.001\n");
  REQUIRE(first != std::string::npos);
  CHECK(printed.find(config::key_comment(key), first + 1) == std::string::npos);
  CHECK(printed.find("learning-rate = 0.001\n", first + config::key_comment(key).size() + 1) !=
        std::string::npos);
}

TEST_CASE("processes of one run may differ in where they serve metrics but not in the task") {
  const Folder folder;
  const std::string digest = shared_digest(folder.good(kStage));
  CHECK(shared_digest(folder.good(kStage, {"metrics.port=9100", "metrics.address=0.0.0.0",
                                           "metrics.progress-deadline-seconds=5"})) == digest);
  CHECK(shared_digest(folder.good(kStage, {"task.digits=[1]"})) != digest);
}

TEST_CASE("the digest is 16 hex digits and knows values but not where files lie") {
  const Folder here, there;
  const std::string text = "[task]\nkind = \"jsonl\"\nprompts = \"p.jsonl\"\n" + kStage;
  here.write("p.jsonl", "");
  there.write("p.jsonl", "");
  const auto digest = config_digest(here.good(text));
  CHECK(digest.size() == 16);
  CHECK(digest.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(config_digest(there.good(text, {"run.out=elsewhere"})) == digest);
  CHECK(config_digest(here.good(text, {"learner.clip-low=0.21"})) != digest);
  CHECK(config_digest(here.good(
            text, {"stage.1.documents=" + (here.path() / "p.jsonl").string()})) != digest);
}

TEST_CASE("the JSON holds the same values") {
  const Folder folder;
  const auto config =
      folder.good("[task]\ndigits = [2, 3, 3]\n" + kStage + kRl + "[[stage]]\nkind = \"eval\"\n");
  const auto json = nlohmann::json::parse(config_json(config));
  CHECK(json.at("generator").at("slots") == 256);
  CHECK(json.at("learner").at("clip-low").dump() == "0.2");
  CHECK(json.at("learner").at("correction") == "ppo");
  CHECK(json.at("model").at("tied-embeddings") == true);
  CHECK(json.at("task").at("digits") == nlohmann::json::array({2, 3, 3}));
  REQUIRE(json.at("stage").size() == 3);
  CHECK(json.at("stage").at(1).at("name") == "reason");
  CHECK_FALSE(json.at("stage").at(1).contains("gate"));
  CHECK(json.at("stage").at(2).size() == 2);
}

TEST_CASE("a problem is shown with its place and its remedy") {
  CHECK(render({"a.toml", "run.seed", "is wrong", "mend it", 3, 7}) ==
        "a.toml:3:7: run.seed: is wrong; mend it");
  CHECK(render({"override 'x'", "", "is wrong", "", 0, 0}) == "override 'x': is wrong");
}

TEST_CASE("a device of valid name that is not there is a warning at its place") {
  const Folder folder;
  const auto file = folder.write("config.toml", "[run]\ndevice = \"cuda:7\"\n" + kStage);
  const auto result = load_config(file, {}, [](const std::string& device) {
    return device == "cuda:7" ? "no such GPU" : std::string();
  });
  CHECK(result.problems.empty());
  REQUIRE(result.warnings.size() == 1);
  CHECK(render(result.warnings[0]) ==
        file.string() +
            ":2:10: run.device: troupe train would not start on this machine: no such GPU");
  CHECK(load_config(file, {"run.device=cpu"}, [](const std::string& device) {
          return device == "cpu" ? std::string() : "no such GPU";
        }).warnings.empty());
}

TEST_CASE("a device of invalid name is a problem and nobody looks for it") {
  const Folder folder;
  const auto result = load_config(folder.write("config.toml", "[run]\ndevice = \"gpu\"\n" + kStage),
                                  {}, [](const std::string&) { return std::string("looked for"); });
  REQUIRE(result.problems.size() == 1);
  CHECK(result.problems[0].key == "run.device");
  CHECK(result.warnings.empty());
}

TEST_CASE("problems as JSON hold all that is said in words") {
  const std::vector<ConfigProblem> problems = {
      {"a.toml", "run.seed", "is \"odd\"", "give another", 3, 8}, {"b\xff", "", "bad", ""}};
  const auto json = nlohmann::json::parse(problems_json(problems));
  REQUIRE(json.size() == 2);
  CHECK(json[0] == nlohmann::json({{"file", "a.toml"},
                                   {"line", 3},
                                   {"column", 8},
                                   {"key", "run.seed"},
                                   {"message", "is \"odd\""},
                                   {"remedy", "give another"}}));
  CHECK(json[1]["line"] == 0);
  CHECK(problems_json({}) == "[]");
}
