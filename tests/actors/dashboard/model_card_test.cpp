#include "actors/dashboard/model_card.hpp"

#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/dashboard");

namespace troupe {

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a model card says where the model comes from and how well it does") {
  RunLog run = sample_run();
  const std::string card = model_card(run);
  CHECK(card.rfind("---\nlibrary_name: transformers\n", 0) == 0);
  CHECK(has(card, "reinforcement-learning"));
  CHECK(has(card, run.model_description));
  CHECK(has(card, run.config_digest));
  for (const StageLog& stage : run.stages) CHECK(has(card, "| " + stage.name + " | " + stage.kind));
  CHECK(has(card, "passed, greedy"));
  CHECK(has(card, "the ledger balances"));
  run.stages.back().ledger.imbalance_tokens = 1;
  CHECK(has(model_card(run), "the ledger does not balance"));
}

TEST_CASE("a card of a run without evaluations invents none") {
  RunLog run = sample_run();
  for (StageLog& stage : run.stages) {
    stage.evaluations = {};
    stage.record.reset();
  }
  CHECK(has(model_card(run), "Not evaluated."));
}

TEST_CASE("a name from a config breaks no table of the card") {
  RunLog run = sample_run();
  run.stages.back().name = "a|b\nc";
  CHECK(has(model_card(run), "| a b c |"));
}

TEST_CASE("a manifest names what is in the run directory and nothing that is not known") {
  const TemporaryDirectory folder;
  std::ofstream(folder.path() / "metrics.jsonl") << "12345";
  const RunLog run = sample_run();
  const auto manifest = run_manifest(run, folder.path());
  CHECK(manifest["run"] == run.name);
  CHECK(manifest["config_digest"] == run.config_digest);
  REQUIRE(manifest["files"].size() == 1);
  CHECK(manifest["files"][0]["name"] == "metrics.jsonl");
  CHECK(manifest["files"][0]["bytes"] == 5);
  RunLog bare;
  CHECK(run_manifest(bare, folder.path() / "none").dump() == R"({"files":[]})");
}

}  // namespace troupe

TEST_SUITE_END();
