#pragma once
// A run of a second or two, with the bigram model as backend.
#include "actors/config/config.hpp"
#include "actors/director/backends.hpp"
#include "tests/support/bigram.hpp"

#include <cstdint>
#include <memory>

namespace troupe::support {

/// A small config: sft on worked documents of one digit, then rl.
inline Config small_config() {
  Config config;
  config.model.hidden = 32;
  config.model.heads = 2;
  config.model.kv_heads = 1;
  config.model.layers = 1;
  config.model.intermediate = 32;
  config.task.digits = {1};
  config.generator.slots = 16;
  config.generator.max_new_tokens = 14;
  config.replay_buffer.batch = 4;
  config.replay_buffer.group_size = 4;
  config.replay_buffer.staleness_bound = 1;
  config.evaluation.prompts = 8;
  config.evaluation.prompts_during = 4;
  config.evaluation.every = 2;
  config.evaluation.max_new_tokens = 14;
  config.director.stall_deadline_seconds = 4;
  StageConfig sft;
  sft.kind = sft.name = "sft";
  sft.updates = 30;
  sft.batch_documents = 4;
  sft.digits = {1};
  sft.learning_rate = sft.learning_rate_final = 0.1;
  StageConfig rl;
  rl.kind = rl.name = "rl";
  rl.updates = 5;
  rl.learning_rate = rl.learning_rate_final = 0.05;
  config.stages = {sft, rl};
  return config;
}

inline Backends bigram_backends() {
  Backends backends;
  backends.engine = [](const gpu::DecoderConfig& decoder, std::int32_t slots,
                       std::int32_t capacity) {
    return std::make_unique<BigramEngine>(decoder.vocab_size, slots, capacity);
  };
  backends.training_engine = [](const gpu::DecoderConfig& decoder, const gpu::SamplingView& view,
                                std::int64_t) {
    return std::make_unique<BigramTrainingEngine>(decoder.vocab_size,
                                                  gpu::manifest_of(decoder).elements, view);
  };
  backends.set_threads = [](std::int32_t) {};
  return backends;
}

}  // namespace troupe::support
