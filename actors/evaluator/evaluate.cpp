#include "actors/evaluator/evaluate.hpp"

#include <chrono>

namespace troupe {
namespace {

struct Graded {
  std::vector<std::string> responses;  // by prompt
  std::vector<Grade> grades;
  double tokens = 0;
};

Graded respond(gpu::Engine& engine, const gpu::FlatWeights& weights, std::uint64_t version,
               const EvaluationPlan& plan, float temperature) {
  gpu::SamplingParams params = plan.sampling;
  params.temperature = temperature;
  params.top_k = 0;
  params.top_p = 1.0f;
  gpu::ContinuousBatch batch(engine, params, plan.seed);
  batch.swap(weights, version);
  for (std::size_t i = 0; i < plan.prompts.size(); ++i)
    batch.submit({i, i, plan.prompts[i].tokens, 0});
  Graded graded;
  graded.responses.resize(plan.prompts.size());
  graded.grades.resize(plan.prompts.size());
  while (batch.can_step() && plan.go_on()) {
    batch.step();
    for (const gpu::Completion& completion : batch.take_finished()) {
      const std::size_t i = completion.rollout;
      graded.responses[i] = plan.rules.tokenizer->decode(completion.tokens);
      graded.grades[i] =
          grade(*plan.rules.answers, plan.rules.weights, plan.prompts[i].text, graded.responses[i]);
      graded.tokens += static_cast<double>(completion.tokens.size());
    }
  }
  return graded;
}

double pass_rate(const std::vector<Grade>& grades) {
  double passed = 0;
  for (const Grade& grade : grades) passed += grade.outcome == Outcome::pass ? 1.0 : 0.0;
  return grades.empty() ? 0.0 : passed / static_cast<double>(grades.size());
}

const char* to_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::pass:
      return "pass";
    case Outcome::fail:
      return "fail";
    case Outcome::unverifiable:
      break;
  }
  return "unverifiable";
}

}  // namespace

EvaluationResult evaluate(gpu::Engine& engine, const gpu::FlatWeights& weights,
                          std::uint64_t version, const EvaluationPlan& plan) {
  const auto begin = std::chrono::steady_clock::now();
  const Graded sampled = respond(engine, weights, version, plan, 1.0f);
  const Graded greedy = respond(engine, weights, version, plan, 0.0f);
  EvaluationResult result;
  EvaluationRecord& record = result.record;
  record.version = version;
  record.update = plan.update;
  record.prompts = static_cast<std::int32_t>(plan.prompts.size());
  record.pass_rate_sampled = pass_rate(sampled.grades);
  record.pass_rate_greedy = pass_rate(greedy.grades);
  for (const Grade& grade : sampled.grades) {
    record.format_rate += grade.format;
    record.reward_mean += grade.reward;
  }
  if (record.prompts > 0) {
    record.format_rate /= record.prompts;
    record.reward_mean /= record.prompts;
    record.mean_response_tokens = sampled.tokens / record.prompts;
  }
  const auto shown =
      std::min<std::size_t>(static_cast<std::size_t>(plan.samples_shown), plan.prompts.size());
  for (std::size_t k = 0; k < shown; ++k) {
    const std::size_t i = k * plan.prompts.size() / shown;  // spread over the prompts
    const Grade& grade = sampled.grades[i];
    result.samples.push_back({plan.prompts[i].text, sampled.responses[i],
                              plan.rules.answers->answer(plan.prompts[i].text).value_or(""),
                              to_text(grade.outcome), grade.reward});
  }
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace troupe
