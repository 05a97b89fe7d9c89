#include "actors/verifier/verifier.hpp"

#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/verifier");

namespace troupe {
namespace {

GradingRules rules() {
  return {
      std::make_shared<const Tokenizer>(Tokenizer::arithmetic()), addition_answers(), {1.0, 0.1}};
}

Rollout of_text(const GradingRules& by, const std::string& prompt, const std::string& response) {
  support::RolloutParts parts;
  parts.prompt = by.tokenizer->encode("<bos>" + prompt);
  parts.completion = by.tokenizer->encode(response);
  return support::rollout(parts);
}

}  // namespace

TEST_CASE("a right answer in the right format passes with both rewards") {
  const GradingRules by = rules();
  const Verdict verdict = judge(
      by, of_text(by, "47+36=", "<think>7+6+0=13;4+3+1=08</think><answer>083</answer><eos>"), "v");
  CHECK(verdict.read().getOutcome() == wire::Verdict::Outcome::PASS);
  CHECK(verdict.read().getReward() == doctest::Approx(1.1));
  CHECK(std::string(verdict.read().getVerifier().cStr()) == "v");
}

TEST_CASE("a wrong answer keeps the format reward and a broken format gets nothing") {
  const GradingRules by = rules();
  const Verdict wrong =
      judge(by, of_text(by, "47+36=", "<think></think><answer>084</answer><eos>"), "v");
  CHECK(wrong.read().getOutcome() == wire::Verdict::Outcome::FAIL);
  CHECK(wrong.read().getReward() == doctest::Approx(0.1));
  const Verdict broken = judge(by, of_text(by, "47+36=", "083<eos>"), "v");
  CHECK(broken.read().getOutcome() == wire::Verdict::Outcome::FAIL);
  CHECK(broken.read().getReward() == 0.0f);
}

TEST_CASE("a rollout with tokens outside the vocabulary is unverifiable and kills nobody") {
  const GradingRules by = rules();
  const Verdict verdict =
      judge(by, support::rollout({.prompt = {1, 7}, .completion = {999, 2}}), "v");
  CHECK(verdict.read().getOutcome() == wire::Verdict::Outcome::UNVERIFIABLE);
}

TEST_CASE("a prompt without a known answer is unverifiable") {
  const GradingRules by = rules();
  const Verdict verdict = judge(by, of_text(by, "7*7=", "49<eos>"), "v");
  CHECK(verdict.read().getOutcome() == wire::Verdict::Outcome::UNVERIFIABLE);
}

}  // namespace troupe
