#include "gpu/training/packed_batch.hpp"

#include "gpu/error.hpp"

#include <ATen/ops/empty.h>
#include <algorithm>

namespace troupe::gpu {
namespace {

void check(const Sequence& sequence, std::size_t index, const DecoderConfig& config) {
  const std::string name = "training sequence " + std::to_string(index);
  const auto size = static_cast<std::int64_t>(sequence.tokens.size());
  if (size == 0) throw Error(name + " is empty");
  if (size > config.max_positions)
    throw Error(name + " has " + std::to_string(size) + " tokens, max_position_embeddings is " +
                std::to_string(config.max_positions) + ": shorten it or raise the model's limit");
  if (sequence.first_target < 1) throw Error(name + ": first_target must be at least 1");
  for (const std::int32_t token : sequence.tokens)
    if (token < 0 || token >= config.vocab_size)
      throw Error(name + " holds token " + std::to_string(token) + ", the vocabulary ends at " +
                  std::to_string(config.vocab_size - 1) + ": is the tokenizer the model's?");
}

}  // namespace

std::int64_t target_count(const Sequence& sequence) {
  return std::max<std::int64_t>(
      0, static_cast<std::int64_t>(sequence.tokens.size()) - sequence.first_target);
}

std::size_t micro_batch(std::span<const Sequence> sequences, std::int64_t tokens) {
  std::size_t count = 0;
  std::int64_t sum = 0;
  while (count < sequences.size()) {
    sum += static_cast<std::int64_t>(sequences[count].tokens.size());
    if (count > 0 && sum > tokens) break;
    ++count;
  }
  return count;
}

PackedBatch pack(std::span<const Sequence> sequences, const DecoderConfig& config,
                 const std::string& device) {
  PackedBatch batch;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    check(sequences[i], i, config);
    batch.starts.push_back(batch.tokens);
    batch.lengths.push_back(static_cast<std::int64_t>(sequences[i].tokens.size()));
    batch.tokens += batch.lengths.back();
    batch.target_count += target_count(sequences[i]);
    batch.longest = std::max(batch.longest, batch.lengths.back());
  }
  const std::int64_t n = batch.tokens, m = batch.target_count;
  const at::Tensor indices = at::empty({3 * n + 2 * m}, at::kLong);
  auto* ids = indices.data_ptr<std::int64_t>();
  auto *positions = ids + n, *padded = ids + 2 * n, *rows = ids + 3 * n, *targets = rows + m;
  for (std::size_t i = 0; i < sequences.size(); ++i)
    for (std::int64_t t = 0; t < batch.lengths[i]; ++t) {
      const std::int32_t token = sequences[i].tokens[static_cast<std::size_t>(t)];
      *ids++ = token;
      *positions++ = t;
      *padded++ = static_cast<std::int64_t>(i) * batch.longest + t;
      if (t < sequences[i].first_target) continue;
      *rows++ = batch.starts[i] + t - 1;
      *targets++ = token;
    }
  const at::Tensor there = indices.to(c10::Device(device));
  batch.ids = there.narrow(0, 0, n);
  batch.positions = there.narrow(0, n, n);
  batch.padded = there.narrow(0, 2 * n, n);
  batch.rows = there.narrow(0, 3 * n, m);
  batch.targets = there.narrow(0, 3 * n + m, m);
  return batch;
}

}  // namespace troupe::gpu
