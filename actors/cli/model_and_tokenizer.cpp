#include "actors/cli/model_and_tokenizer.hpp"

#include "actors/cli/backends.hpp"
#include "actors/director/materials.hpp"
#include "gpu/error.hpp"

#include <algorithm>

namespace troupe {

ModelAndTokenizer load_model_and_tokenizer(const std::filesystem::path& directory) {
  gpu::LoadedModel loaded = gpu::load_model(directory);
  ModelAndTokenizer model;
  model.decoder = loaded.config;
  const auto values = std::shared_ptr<float[]>(new float[loaded.weights.size()]);
  std::copy(loaded.weights.begin(), loaded.weights.end(), values.get());
  model.weights = values;
  model.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(directory));
  return model;
}

gpu::SamplingParams plain_sampling(const ModelAndTokenizer& model, std::int32_t max_new_tokens) {
  gpu::SamplingParams params;
  params.max_new_tokens = max_new_tokens;
  params.stop_tokens = {model.tokenizer->eos()};
  params.banned = banned_tokens(*model.tokenizer, model.decoder);
  return params;
}

std::unique_ptr<gpu::Engine> engine_for(const ModelAndTokenizer& model, std::size_t prompts,
                                        std::size_t longest_prompt, std::int32_t max_new_tokens,
                                        const std::string& device) {
  const std::int64_t needed = static_cast<std::int64_t>(longest_prompt) + max_new_tokens;
  if (needed > model.decoder.max_positions)
    throw gpu::Error("prompt and completion need " + std::to_string(needed) +
                     " positions, the model has " + std::to_string(model.decoder.max_positions) +
                     ": lower --max-new-tokens");
  constexpr std::size_t kMostSlots = 256;
  auto engine =
      make_engine(device, "auto", model.decoder,
                  static_cast<std::int32_t>(std::clamp<std::size_t>(prompts, 1, kMostSlots)),
                  static_cast<std::int32_t>(needed));
  engine->swap(model.weights);
  return engine;
}

}  // namespace troupe
