#include "actors/evaluator/evaluate.hpp"

#include "tests/support/bigram.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/evaluator");

namespace troupe {

TEST_CASE("rates count passes and format and length over the prompts") {
  EvaluationPlan plan;
  plan.rules = {
      std::make_shared<const Tokenizer>(Tokenizer::arithmetic()), addition_answers(), {1.0, 0.1}};
  const Tokenizer& tokenizer = *plan.rules.tokenizer;
  const std::int32_t vocab = tokenizer.size();
  // Always answers 02: right for 1+1= only.
  const auto weights =
      std::shared_ptr<float[]>(new float[static_cast<std::size_t>(vocab * vocab)]());
  const std::vector<std::int32_t> path =
      tokenizer.encode("=<think></think><answer>02</answer><eos>");
  for (std::size_t i = 0; i + 1 < path.size(); ++i)
    weights[static_cast<std::size_t>(path[i] * vocab + path[i + 1])] = 60.0f;
  for (const char* text : {"1+1=", "2+0=", "3+4=", "9+9="})
    plan.prompts.push_back({text, tokenizer.encode(std::string("<bos>") + text)});
  plan.sampling.max_new_tokens = 10;
  plan.sampling.stop_tokens = {tokenizer.eos()};
  plan.samples_shown = 2;
  support::BigramEngine engine(vocab, 3, 20);
  const EvaluationResult result = evaluate(engine, weights, 5, plan);
  CHECK(result.record.version == 5);
  CHECK(result.record.prompts == 4);
  CHECK(result.record.pass_rate_greedy == 0.5);
  CHECK(result.record.pass_rate_sampled == 0.5);
  CHECK(result.record.format_rate == 1.0);
  CHECK(result.record.reward_mean == doctest::Approx(0.6));  // 1 for each second one, 0.1 for all
  CHECK(result.record.mean_response_tokens == 7.0);
  REQUIRE(result.samples.size() == 2);
  CHECK(result.samples[0].prompt == "1+1=");
  CHECK(result.samples[0].response == "<think></think><answer>02</answer><eos>");
  CHECK(result.samples[0].answer == "02");
  CHECK(result.samples[0].outcome == "pass");
}

}  // namespace troupe
