#include "actors/verifier/verifier.hpp"

#include "tests/support/actor_fixture.hpp"
#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <caf/typed_response_promise.hpp>
#include <optional>
#include <utility>

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

TEST_CASE_FIXTURE(support::ActorFixture,
                  "the oldest rollout a verifier holds ages until the buffer has it") {
  const GradingRules by = rules();
  const Rollouts finished = {of_text(by, "47+36=", "083<eos>")};
  const auto generator =
      keep(system.spawn([finished](caf::event_based_actor* one) -> caf::behavior {
        return {[=, asked = false](take_atom, std::uint32_t, const RolloutIds&) mutable {
          auto promise = one->make_response_promise<Rollouts>();
          if (!std::exchange(asked, true)) promise.deliver(finished);
          return promise;
        }};
      }));
  std::optional<caf::typed_response_promise<RolloutIds>> owed;
  const auto buffer = keep(system.spawn([&owed](caf::event_based_actor* one) -> caf::behavior {
    return {[&owed, one](append_atom, const GradedRollouts&) {
              owed = one->make_response_promise<RolloutIds>();
              return *owed;
            },
            [&owed](const RolloutIds& taken) { owed->deliver(taken); }};
  }));
  const auto actor = keep(system.spawn(verifier, VerifierPlan{"v", by, 64, {}, telemetry()},
                                       caf::actor_cast<ReplayBuffer>(buffer)));
  const auto pending = [this] {
    const std::string page = telemetry()->scrape();
    const std::string name = "\ntroupe_verifier_oldest_pending_seconds{actor=\"v\"} ";
    return std::stod(page.substr(page.find(name) + name.size()));
  };
  settle();
  CHECK(pending() == 0);
  caf::anon_send(actor, join_atom::value, std::string("g"), caf::actor_cast<Generator>(generator));
  settle();
  REQUIRE(owed);
  CHECK(pending() > 0);
  caf::anon_send(buffer, RolloutIds{finished[0].read().getId()});
  settle();
  CHECK(pending() == 0);
}

}  // namespace troupe
