#include "actors/cli/commands.hpp"
#include "actors/cli/model_and_tokenizer.hpp"
#include "actors/director/materials.hpp"
#include "gpu/device.hpp"
#include "gpu/sampling/continuous_batch.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

namespace troupe {
namespace {

using Completions =
    std::map<std::uint64_t, gpu::Completion>;  // by rollout: prompts in turn, each `count` times

Completions complete(gpu::Engine& engine, const ModelAndTokenizer& model,
                     const SampleOptions& options,
                     const std::vector<std::vector<std::int32_t>>& prompts) {
  gpu::SamplingParams params = plain_sampling(model, options.max_new_tokens);
  params.temperature = static_cast<float>(options.temperature);
  params.top_k = options.top_k;
  params.top_p = static_cast<float>(options.top_p);
  gpu::ContinuousBatch batch(engine, params, options.seed);
  batch.swap(model.weights, 0);
  const auto count = static_cast<std::uint64_t>(options.count);
  for (std::uint64_t i = 0; i < prompts.size() * count; ++i)
    batch.submit({i, i / count, prompts[i / count], 0});
  Completions completions;
  while (batch.can_step()) {
    batch.step();
    for (gpu::Completion& done : batch.take_finished()) completions[done.rollout] = std::move(done);
  }
  return completions;
}

void print(const std::string& prompt, const std::string& text, const gpu::Completion& completion,
           bool json) {
  if (!json) {
    std::cout << prompt << text << "\n";
    return;
  }
  std::cout << nlohmann::ordered_json{{"prompt", prompt},
                                      {"completion", text},
                                      {"tokens", completion.tokens},
                                      {"log_probs", completion.log_probs},
                                      {"finish_reason", completion.reason == gpu::FinishReason::stop
                                                            ? "stop"
                                                            : "length"}}
                   .dump()
            << "\n";
}

}  // namespace

int sample(const SampleOptions& options) {
  gpu::set_compute_threads(1);
  const ModelAndTokenizer model = load_model_and_tokenizer(options.model);
  std::vector<std::vector<std::int32_t>> prompts;
  std::size_t longest = 0;
  for (const std::string& text : options.prompts) {
    prompts.push_back(prompt_tokens(*model.tokenizer, text));
    longest = std::max(longest, prompts.back().size());
  }
  const auto count = static_cast<std::size_t>(options.count);
  const auto engine =
      engine_for(model, prompts.size() * count, longest, options.max_new_tokens, options.device);
  for (const auto& [id, completion] : complete(*engine, model, options, prompts))
    print(options.prompts[id / count], model.tokenizer->decode(completion.tokens), completion,
          options.json);
  return exit_ok;
}

}  // namespace troupe
