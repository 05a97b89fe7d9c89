#include "actors/config/config.hpp"
#include "actors/config/schema.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

TEST_SUITE_BEGIN("actors/config");

using namespace troupe;

namespace {

const std::filesystem::path kFolder = TROUPE_SOURCE_DIR "/deploy/config";

Config loaded(const std::string& name) {
  const auto result = load_config(kFolder / name, {});
  for (const auto& problem : result.problems) FAIL_CHECK(render(problem));
  for (const auto& warning : result.warnings) FAIL_CHECK(render(warning));
  return result.config;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// From the section's first header to the next section's; the stages reach to the end.
std::string section_text(const std::string& text, const config::Section& section) {
  const bool stages = &section == &config::stage_section();
  const auto begin = text.find(stages ? "\n[[stage]]\n" : "\n[" + section.name + "]\n");
  REQUIRE(begin != std::string::npos);
  return text.substr(begin, stages ? std::string::npos : text.find("\n[", begin + 1) - begin);
}

}  // namespace

TEST_CASE("every config in deploy loads without problems and warnings") {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().filename().string());
    const auto config = loaded(entry.path().filename().string());
    CHECK(config.run.name == entry.path().stem().string());
    ++count;
  }
  CHECK(count >= 3);
}

TEST_CASE("r1-zero-addition shows every key with the comment of the schema") {
  const auto text = text_of(kFolder / "r1-zero-addition.toml");
  for (const auto& section : config::sections()) {
    const auto part = section_text(text, section);
    for (const auto& key : section.keys) {
      CAPTURE(section.name + "." + key.name);
      const auto comment = config::key_comment(key);
      const auto at = part.find(comment);
      REQUIRE(at != std::string::npos);
      auto rest = std::string_view(part).substr(at + comment.size());
      if (rest.starts_with("# ")) rest.remove_prefix(2);
      CHECK(rest.starts_with(key.name + " = "));
    }
  }
}

TEST_CASE("r1-zero-addition is the recipe") {
  const auto c = loaded("r1-zero-addition.toml");
  CHECK(c.model.layers == 2);
  CHECK(c.model.hidden == 64);
  CHECK(c.model.heads == 4);
  CHECK(c.model.kv_heads == 2);
  CHECK(c.model.intermediate == 160);
  CHECK(c.model.rope_theta == 1000);
  CHECK(c.model.tied_embeddings);
  CHECK(c.task.digits == std::vector<std::int32_t>{2, 3});
  CHECK(c.replay_buffer.batch * c.replay_buffer.group_size == 256);
  CHECK(c.generator.max_new_tokens == 40);
  CHECK(c.evaluation.max_new_tokens == 52);
  CHECK(c.learner.update.objective.clip_low == 0.2f);
  CHECK(c.learner.update.objective.clip_high == 0.28f);
  CHECK(c.learner.update.objective.dual_clip == 3.0f);
  CHECK(c.learner.update.objective.max_completion_tokens == 40);
  CHECK(c.learner.update.adamw.beta2 == 0.95f);
  CHECK(c.verifier.format_reward == 0.1);
  REQUIRE(c.stages.size() == 4);
}

TEST_CASE("the stages of r1-zero-addition are those of the recipe") {
  const auto c = loaded("r1-zero-addition.toml");
  REQUIRE(c.stages.size() == 4);
  const auto &books = c.stages[0], &settle = c.stages[1], &web = c.stages[2], &reason = c.stages[3];
  CHECK(books.updates == 1200);
  CHECK(books.mix ==
        AdditionMix{.bare = 0, .direct = .05, .work = .95, .broken = 0, .step_error = 0});
  CHECK(books.digits == std::vector<std::int32_t>{2, 3, 3});
  CHECK(books.gate == 0.93);
  CHECK(books.gate_limit == 6000);
  CHECK(books.learning_rate == 5e-3);
  CHECK(books.learning_rate_final == settle.learning_rate);
  CHECK(settle.learning_rate_final == web.learning_rate);
  CHECK(settle.mix == books.mix);
  CHECK(settle.digits == books.digits);
  CHECK((settle.keep_optimizer && web.keep_optimizer));
  CHECK(web.mix ==
        AdditionMix{.bare = .12, .direct = .38, .work = .38, .broken = .12, .step_error = .02});
  CHECK(web.digits == c.task.digits);
  CHECK(web.learning_rate_final == 2.5e-4);
  CHECK(reason.kind == "rl");
  CHECK(reason.updates == 50);
  CHECK(reason.weight_decay == 0);
}

TEST_CASE("r1-addition starts from the base of r1-zero-addition") {
  const auto zero = loaded("r1-zero-addition.toml"), r1 = loaded("r1-addition.toml");
  const auto base_of = [](Config config) {
    config.run.name = "base";
    config.stages.resize(3);
    return config_digest(config);
  };
  CHECK(base_of(zero) == base_of(r1));
  REQUIRE(r1.stages.size() == 5);
  CHECK(r1.stages[3].kind == "sft");
  CHECK(r1.stages[3].documents_limit == 64);
  CHECK(r1.stages[3].updates * r1.stages[3].batch_documents == 192);
  CHECK(r1.stages[4].updates == 20);
}

TEST_CASE("smoke has a stage of every kind") {
  const auto config = loaded("smoke.toml");
  std::vector<std::string> kinds;
  for (const auto& stage : config.stages) kinds.push_back(stage.kind);
  CHECK(kinds == config::stage_kinds());
}
