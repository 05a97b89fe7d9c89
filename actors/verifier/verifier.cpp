#include "actors/verifier/verifier.hpp"

#include "actors/errors.hpp"
#include "actors/report_exceptions.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <utility>
#include <vector>

namespace troupe {
namespace {

wire::Verdict::Outcome outcome_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass:
      return wire::Verdict::Outcome::PASS;
    case Outcome::fail:
      return wire::Verdict::Outcome::FAIL;
    case Outcome::unverifiable:
      break;
  }
  return wire::Verdict::Outcome::UNVERIFIABLE;
}

const char* label_of(wire::Verdict::Outcome outcome) {
  switch (outcome) {
    case wire::Verdict::Outcome::PASS:
      return "pass";
    case wire::Verdict::Outcome::FAIL:
      return "fail";
    default:
      return "infra_error";
  }
}

Grade grade_rollout(const GradingRules& rules, wire::Rollout::Reader rollout) {
  const std::vector<std::int32_t> ids = tokens_of(rollout.getTokens());
  const bool known = std::all_of(ids.begin(), ids.end(),
                                 [&](std::int32_t id) { return id < rules.tokenizer->size(); });
  if (!known) return {.reason = "a token outside the vocabulary"};
  const std::span<const std::int32_t> all(ids);
  std::size_t prompt_begin = 0;
  if (ids[0] == rules.tokenizer->bos()) prompt_begin = 1;
  const std::string prompt =
      rules.tokenizer->decode(all.subspan(prompt_begin, rollout.getPromptLength() - prompt_begin));
  return grade(*rules.answers, rules.weights, prompt,
               rules.tokenizer->decode(all.subspan(rollout.getPromptLength())));
}

}  // namespace

Verdict judge(const GradingRules& rules, const Rollout& rollout, const std::string& verifier) {
  Grade found;
  try {
    found = grade_rollout(rules, rollout.read());
  } catch (const std::exception& error) {  // a grader's failure is ours, not the rollout's
    found = {.reason = error.what()};
  }
  return Verdict::build([&](wire::Verdict::Builder verdict) {
    verdict.setRollout(rollout.read().getId());
    verdict.setOutcome(outcome_of(found.outcome));
    verdict.setReward(static_cast<float>(found.reward));
    verdict.setAccuracy(static_cast<float>(found.accuracy));
    verdict.setFormat(static_cast<float>(found.format));
    verdict.setReason(found.reason);
    verdict.setVerifier(verifier);
  });
}

void VerifierState::begin(Self self, VerifierPlan plan, ReplayBuffer buffer) {
  self_ = self;
  plan_ = std::move(plan);
  buffer_ = std::move(buffer);
  activity_ = &plan_.telemetry->activity(plan_.name);
  timed_ = Timed(*plan_.telemetry, plan_.name);
  show_oldest();  // what a predecessor held is lent again
  activity_->enter("wait for rollouts", false);
}

void VerifierState::show_oldest() {
  plan_.telemetry->holds_since(plan_.name,
                               held_.empty() ? std::nullopt : std::optional(held_.begin()->second));
}

void VerifierState::join(const std::string& generator_name, const Generator& generator) {
  ask(generator_name, generator, {});
}

/// One request per generator is open at a time: that is the credit it may use up.
void VerifierState::ask(const std::string& generator_name, const Generator& generator,
                        const RolloutIds& acknowledged) {
  self_
      ->request(generator, plan_.deadlines.request, take_atom::value, plan_.rollouts_at_once,
                acknowledged)
      .then(
          timed_(
              [=, this](const Rollouts& rollouts) { grade(generator_name, generator, rollouts); }),
          [=, this](const caf::error& error) {
            if (timed_out(*plan_.telemetry, error)) {
              plan_.telemetry->event("slow_generator",
                                     generator_name + " has not answered " + plan_.name);
              return ask(generator_name, generator, {});
            }
            activity_->enter("wait for rollouts",
                             false);  // gone: the director names its successor
          });
}

void VerifierState::grade(const std::string& generator_name, const Generator& generator,
                          const Rollouts& rollouts) {
  if (rollouts.empty()) return ask(generator_name, generator, {});
  activity_->enter("grade", true);
  const std::uint64_t batch = batches_++;
  held_[batch] = Clock::now();
  show_oldest();
  Metrics& metrics = plan_.telemetry->metrics();
  metrics.gauge("troupe_actor_mailbox_depth", plan_.name)
      .Set(static_cast<double>(self_->mailbox().size()));
  auto& depth = metrics.gauge("troupe_verifier_queue_depth", plan_.name);
  depth.Set(static_cast<double>(rollouts.size()));
  GradedRollouts graded;
  for (const Rollout& rollout : rollouts) {
    graded.push_back({rollout, judge(plan_.rules, rollout, plan_.name)});
    metrics
        .counter("troupe_verifier_verdicts_total",
                 label_of(graded.back().verdict.read().getOutcome()))
        .Increment();
  }
  depth.Set(0);
  plan_.telemetry->progress(plan_.name);
  activity_->enter("wait for rollouts", false);
  self_->request(buffer_, plan_.deadlines.request, append_atom::value, std::move(graded))
      .then(timed_([=, this](const RolloutIds& acknowledged) {
              held_.erase(batch);
              show_oldest();
              ask(generator_name, generator, acknowledged);
            }),
            [this](const caf::error& error) {
              timed_out(*plan_.telemetry, error);
              self_->quit(error);
            });
}

Verifier::behavior_type verifier(VerifierState::Self self, VerifierPlan plan, ReplayBuffer buffer) {
  auto& state = self->state;
  report_exceptions(self, *plan.telemetry, plan.name);
  const Timed timed(*plan.telemetry, plan.name);
  state.begin(self, std::move(plan), std::move(buffer));
  return {timed([&state](join_atom, const std::string& generator_name, const Generator& generator) {
    state.join(generator_name, generator);
  })};
}

}  // namespace troupe
