#include "actors/cli/commands.hpp"
#include "actors/cli/model_and_tokenizer.hpp"
#include "actors/director/materials.hpp"
#include "gpu/device.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace troupe {
namespace {

void add_prompts(const EvalOptions& options, EvaluationPlan& plan) {
  const Tokenizer& tokenizer = *plan.rules.tokenizer;
  if (options.data.empty()) {
    plan.rules.answers = addition_answers();
    for (const AdditionProblem& problem :
         addition_held_out(options.digits, static_cast<std::size_t>(options.prompts), options.seed))
      plan.prompts.push_back({problem.prompt(), prompt_tokens(tokenizer, problem.prompt())});
    return;
  }
  const std::vector<DataRow> rows = read_jsonl(options.data, true, false);
  check_vocabulary(rows, tokenizer, options.data);
  plan.rules.answers = jsonl_answers(rows);
  for (const DataRow& row : rows)
    plan.prompts.push_back({row.prompt, prompt_tokens(tokenizer, row.prompt)});
}

void print(const EvaluationRecord& record, bool json) {
  if (json) {
    std::cout << nlohmann::ordered_json{{"prompts", record.prompts},
                                        {"pass_rate_sampled", record.pass_rate_sampled},
                                        {"pass_rate_greedy", record.pass_rate_greedy},
                                        {"format_rate", record.format_rate},
                                        {"mean_response_tokens", record.mean_response_tokens}}
                     .dump(2)
              << "\n";
    return;
  }
  std::cout << fmt::format(
      "{} prompts\npass rate, sampled (T=1)  {:.3f}\npass rate, greedy         {:.3f}\nformat rate "
      "              "
      "{:.3f}\nmean response             {:.1f} tokens\n",
      record.prompts, record.pass_rate_sampled, record.pass_rate_greedy, record.format_rate,
      record.mean_response_tokens);
}

}  // namespace

int evaluate_model(const EvalOptions& options) {
  gpu::set_compute_threads(options.threads);
  const ModelAndTokenizer model = load_model_and_tokenizer(options.model);
  EvaluationPlan plan;
  plan.rules.tokenizer = model.tokenizer;
  add_prompts(options, plan);
  plan.sampling = plain_sampling(model, options.max_new_tokens);
  plan.seed = options.seed;
  std::size_t longest = 0;
  for (const EvaluationPrompt& prompt : plan.prompts)
    longest = std::max(longest, prompt.tokens.size());
  const auto engine =
      engine_for(model, plan.prompts.size(), longest, options.max_new_tokens, options.device);
  print(evaluate(*engine, model.weights, 0, plan).record, options.json);
  return exit_ok;
}

}  // namespace troupe
