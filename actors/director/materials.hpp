#pragma once
// From a config to what a run is made of: model, tokenizer, prompts, answers, documents. Plain; no
// actors.
#include "actors/config/config.hpp"
#include "actors/evaluator/evaluate.hpp"
#include "actors/learner/gate.hpp"
#include "actors/replay_buffer/ledger.hpp"
#include "actors/task/task.hpp"
#include "gpu/model/decoder_config.hpp"
#include "gpu/sampling/sampler.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// Made once before anything is spawned, then only read.
struct Materials {
  std::shared_ptr<const Tokenizer> tokenizer;
  gpu::DecoderConfig decoder;
  std::vector<float> weights;  // to begin with
  GradingRules rules;
  std::vector<DataRow> prompt_rows;                       // task.prompts
  std::map<std::size_t, std::vector<DataRow>> documents;  // by stage, where the stage names a file
  std::vector<EvaluationPrompt> held_out;
  std::size_t longest_prompt = 0;  // tokens, <bos> included, over training and held-out prompts
};

/// Reads the model directory and data files the config names. Errors: throws std::runtime_error or
/// gpu::Error naming file and remedy.
Materials gather(const Config& config);

/// Prompt with <bos>, as generators get it.
std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, const std::string& text);
/// <bos> prompt response <eos>; the prompt is not a target.
gpu::Document tokenize(const Tokenizer& tokenizer, const TextDocument& document);

/// Tokens that are never sampled: <pad>, <bos>, and those of a padded vocabulary that stand for no
/// text.
std::vector<std::int32_t> banned_tokens(const Tokenizer& tokenizer,
                                        const gpu::DecoderConfig& decoder);
gpu::SamplingParams sampling_params(const Config& config, const Materials& materials);

/// Endless training prompts of the rl stage with this index; its own order per stage.
std::function<TicketPrompt()> ticket_prompts(const Config& config, const Materials& materials,
                                             std::size_t stage);
/// Endless documents of the pretrain or sft stage with this index. Stages that keep the optimizer
/// go on in other draws.
std::function<gpu::Document()> stage_documents(const Config& config, const Materials& materials,
                                               std::size_t stage);
/// Probe documents of the stage's gate, one kind per number of digits.
std::vector<std::vector<ProbeDocument>> gate_probe(const Config& config, const Materials& materials,
                                                   std::size_t stage);
/// Plan over the first `prompts` held-out prompts.
std::shared_ptr<const EvaluationPlan> evaluation_plan(const Config& config,
                                                      const Materials& materials,
                                                      std::int32_t prompts, std::int32_t update);

}  // namespace troupe
