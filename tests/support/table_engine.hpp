#pragma once
// A training engine whose model is a table: the log-prob of a target is the entry of its token, its
// entropy the square of it. Small enough to work out an update by hand. The optimizer is plain
// ascent.
#include "gpu/training/training_engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace troupe::gpu {

class TableEngine final : public TrainingEngine {
 public:
  explicit TableEngine(std::vector<float> log_probs)
      : table(std::move(log_probs)), gradient(table.size(), 0.0) {}

  void forward_backward(std::span<const Sequence> sequences, const Weigh& weigh) override {
    for (std::size_t i = 0; i < sequences.size(); ++i) {  // one sequence per micro-batch
      const std::vector<TokenValue> values = score(sequences.subspan(i, 1), nullptr);
      std::vector<TokenWeight> weights(values.size());
      weigh(i, values, weights);
      for (std::size_t t = 0; t < values.size(); ++t) {
        const auto token = static_cast<std::size_t>(
            sequences[i].tokens[t + static_cast<std::size_t>(sequences[i].first_target)]);
        gradient[token] += weights[t].log_prob + weights[t].entropy * 2.0 * table[token];
      }
    }
  }

  std::vector<TokenValue> score(std::span<const Sequence> sequences, FlatWeights other) override {
    std::vector<TokenValue> values;
    for (const Sequence& sequence : sequences)
      for (auto t = static_cast<std::size_t>(sequence.first_target); t < sequence.tokens.size();
           ++t) {
        const auto token = static_cast<std::size_t>(sequence.tokens[t]);
        const float log_prob = other ? other[token] : table[token];
        values.push_back({log_prob, log_prob * log_prob});
      }
    scores += 1;
    return values;
  }

  double gradient_norm() override {
    if (norm_is_infinite) return std::numeric_limits<double>::infinity();
    double squares = 0;
    for (const double value : gradient) squares += value * value;
    return std::sqrt(squares);
  }

  void step(const AdamW&, float learning_rate, float gradient_scale) override {
    applied.push_back(gradient);
    for (std::size_t i = 0; i < table.size(); ++i)
      table[i] += static_cast<float>(double{learning_rate} * gradient_scale * gradient[i]);
    zero_gradient();
    ++steps;
    if (steps == break_after) table[0] = std::nanf("");
  }
  void zero_gradient() override { gradient.assign(table.size(), 0.0); }
  void load(const float* weights) override { table.assign(weights, weights + table.size()); }
  void reset_optimizer() override {}
  void copy_weights(float* out) const override { std::copy(table.begin(), table.end(), out); }
  std::uint64_t elements() const override { return table.size(); }

  std::vector<float> table;
  std::vector<double> gradient;              // accumulated since the last step
  std::vector<std::vector<double>> applied;  // of each step
  int steps = 0, scores = 0;
  bool norm_is_infinite = false;
  int break_after = 0;  // after so many steps the entry of token 0 is NaN
};

}  // namespace troupe::gpu
