#pragma once
// A model directory as `eval` and `sample` use it.
#include "actors/task/tokenizer.hpp"
#include "gpu/model/model_directory.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/sampler.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

struct ModelAndTokenizer {
  gpu::DecoderConfig decoder;
  gpu::FlatWeights weights;
  std::shared_ptr<const Tokenizer> tokenizer;
};
/// Errors: throws gpu::Error or std::runtime_error naming the file and remedy.
ModelAndTokenizer load_model_and_tokenizer(const std::filesystem::path& directory);

/// Stops at <eos>; <pad>, <bos> and ids without a text are never sampled.
gpu::SamplingParams plain_sampling(const ModelAndTokenizer& model, std::int32_t max_new_tokens);

/// An engine with the weights in it, for prompts of up to `longest_prompt` tokens. Errors: throws
/// gpu::Error if prompt and completion exceed the model's positions.
std::unique_ptr<gpu::Engine> engine_for(const ModelAndTokenizer& model, std::size_t prompts,
                                        std::size_t longest_prompt, std::int32_t max_new_tokens,
                                        const std::string& device);

}  // namespace troupe
