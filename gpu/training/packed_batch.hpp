#pragma once
// One micro-batch: whole sequences one after another, without padding. One of the few headers with
// tensors.
#include "gpu/model/decoder_config.hpp"
#include "gpu/training/training_engine.hpp"

#include <ATen/core/Tensor.h>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::gpu {

/// Index tensors are int64 on the engine's device and share one buffer.
struct PackedBatch {
  std::int64_t tokens = 0, target_count = 0, longest = 0;
  std::vector<std::int64_t> starts, lengths;  // of each sequence, in tokens
  at::Tensor ids;                             // [tokens]
  at::Tensor positions;                       // [tokens], from 0 in each sequence
  at::Tensor padded;                          // [tokens]: sequence * longest + position
  at::Tensor rows;     // [target_count]: the token whose output predicts the target
  at::Tensor targets;  // [target_count]: ids
};

/// Errors: throws gpu::Error naming the sequence if it is longer than max_positions, a token is not
/// in the vocabulary or first_target is below 1.
PackedBatch pack(std::span<const Sequence> sequences, const DecoderConfig& config,
                 const std::string& device);

/// How many of the sequences make the next micro-batch: at most `tokens` tokens, at least one
/// sequence.
std::size_t micro_batch(std::span<const Sequence> sequences, std::int64_t tokens);

/// Targets of a sequence: tokens from first_target on.
std::int64_t target_count(const Sequence& sequence);

}  // namespace troupe::gpu
