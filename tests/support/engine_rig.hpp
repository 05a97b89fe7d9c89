#pragma once
// An engine under test beside the reference decoder, and the shapes that engines are tested with.
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/philox.hpp"
#include "tests/support/reference_decoder.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::gpu {

using Tokens = std::vector<std::int32_t>;

inline Tokens random_tokens(std::size_t count, std::uint64_t seed, const DecoderConfig& config) {
  PhiloxStream stream(seed, 17);
  Tokens tokens;
  while (tokens.size() < count) {
    tokens.push_back(
        static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(config.vocab_size))));
  }
  return tokens;
}

/// An engine under test and what the reference says of each of its slots.
struct EngineRig {
  DecoderConfig config;
  std::vector<float> weights;
  ReferenceDecoder reference;
  std::unique_ptr<Engine> engine;
  std::vector<Tokens> fed;  // per slot
  double worst = 0.0;       // largest difference, relative to the largest logit of its row

  /// The engine's weights are random_weights(shape, 5).
  EngineRig(const DecoderConfig& shape, std::unique_ptr<Engine> under_test)
      : config(shape),
        weights(random_weights(shape, 5)),
        reference(shape, weights),
        engine(std::move(under_test)),
        fed(static_cast<std::size_t>(engine->slots())) {
    engine->swap(flat_weights(weights));
  }

  /// Appends the next `count` tokens of `tokens` to a slot's rows.
  void feed(std::vector<Row>& rows, std::int32_t slot, const Tokens& tokens, std::size_t count) {
    Tokens& sofar = fed[static_cast<std::size_t>(slot)];
    for (std::size_t i = 0; i < count; ++i) {
      rows.push_back({slot, static_cast<std::int32_t>(sofar.size()), tokens[sofar.size()]});
      sofar.push_back(tokens[sofar.size()]);
    }
  }

  /// Runs the rows and compares the logits of every one of them.
  void run(const std::vector<Row>& rows) {
    Tokens wanted;
    for (std::size_t i = 0; i < rows.size(); ++i) wanted.push_back(static_cast<std::int32_t>(i));
    const auto vocab = static_cast<std::size_t>(config.vocab_size);
    std::vector<float> logits(rows.size() * vocab, std::numeric_limits<float>::quiet_NaN());
    engine->forward(rows, wanted, logits.data());
    std::map<std::int32_t, std::vector<std::vector<double>>> expected;  // by slot
    for (const Row& row : rows) {
      if (!expected.contains(row.slot)) {
        expected[row.slot] = reference.logits(fed[static_cast<std::size_t>(row.slot)]);
      }
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      compare(logits.data() + i * vocab,
              expected[rows[i].slot][static_cast<std::size_t>(rows[i].position)]);
    }
  }

  void compare(const float* got, const std::vector<double>& expected) {
    double largest = 0.0, difference = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(static_cast<double>(got[i]) - expected[i]));
    }
    REQUIRE(largest > 0.1);
    if (!(difference / largest <= worst)) worst = difference / largest;
  }
};

inline std::vector<DecoderConfig> shapes() {
  DecoderConfig untied = tiny_llama();
  untied.tied_embeddings = false;
  DecoderConfig single = tiny_llama();
  single.num_layers = 1;
  single.num_kv_heads = 4;
  single.rms_norm_eps = 1e-2f;
  return {tiny_llama(), tiny_qwen2(), tiny_qwen3(), untied, single};
}

}  // namespace troupe::gpu
