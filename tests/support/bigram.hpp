#pragma once
// A whole model in a table: the logits of the next token are a row chosen by the token before.
// Exact, batch-invariant and small, it stands in for LibTorch wherever a test is about actors and
// not about transformers. It does learn.
#include "gpu/error.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/training/training_engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

namespace troupe::support {

/// Uses the first vocab * vocab values of the weights.
class BigramEngine : public gpu::Engine {
 public:
  BigramEngine(std::int32_t vocab, std::int32_t slots, std::int32_t capacity)
      : vocab_(vocab),
        slots_(slots),
        capacity_(capacity),
        lengths_(static_cast<std::size_t>(slots), 0) {}

  void forward(std::span<const gpu::Row> rows, std::span<const std::int32_t> wanted,
               float* logits) override {
    for (const gpu::Row& row : rows) {
      if (row.slot < 0 || row.slot >= slots_ || row.position >= capacity_ || row.token >= vocab_)
        throw gpu::Error("row out of range");
      std::int32_t& length = lengths_[static_cast<std::size_t>(row.slot)];
      if (row.position == 0) length = 0;
      if (row.position != length++) throw gpu::Error("rows of a slot must be gapless");
    }
    for (const std::int32_t i : wanted) {
      const float* table = weights_.get() + rows[static_cast<std::size_t>(i)].token * vocab_;
      logits = std::copy(table, table + vocab_, logits);
    }
    ++forwards;
  }
  void copy_prefix(std::int32_t from, std::int32_t to, std::int32_t length) override {
    if (lengths_[static_cast<std::size_t>(from)] < length)
      throw gpu::Error("prefix longer than its slot");
    lengths_[static_cast<std::size_t>(to)] = length;
  }
  using Engine::swap;
  void swap(const gpu::PreparedPtr& weights) override { weights_ = weights->values; }
  std::int32_t slots() const override { return slots_; }
  std::int32_t capacity() const override { return capacity_; }
  std::int32_t vocab() const override { return vocab_; }
  bool batch_invariant() const override { return true; }

  int forwards = 0;

 private:
  std::int32_t vocab_, slots_, capacity_;
  std::vector<std::int32_t> lengths_;
  gpu::FlatWeights weights_;
};

class BigramTrainingEngine : public gpu::TrainingEngine {
 public:
  /// elements: at least vocab * vocab; the rest is never touched.
  BigramTrainingEngine(std::int32_t vocab, std::uint64_t elements, gpu::SamplingView view)
      : vocab_(vocab),
        view_(std::move(view)),
        weights_(elements),
        gradient_(elements),
        m_(elements),
        v_(elements),
        kept_{0, elements} {}

  void forward_backward(std::span<const gpu::Sequence> sequences,
                        const gpu::Weigh& weigh) override {
    const std::vector<gpu::TokenValue> values = score(sequences, nullptr);
    std::vector<gpu::TokenWeight> weights(values.size());
    weigh(0, values, weights);
    std::size_t at = 0;
    for (const gpu::Sequence& sequence : sequences)
      for (std::size_t i = first(sequence); i < sequence.tokens.size(); ++i, ++at)
        backward(sequence.tokens[i - 1], sequence.tokens[i], weights[at], values[at].entropy);
  }
  std::vector<gpu::TokenValue> score(std::span<const gpu::Sequence> sequences,
                                     gpu::FlatWeights other) override {
    const float* table = other ? other.get() : weights_.data();
    std::vector<gpu::TokenValue> values;
    for (const gpu::Sequence& sequence : sequences)
      for (std::size_t i = first(sequence); i < sequence.tokens.size(); ++i) {
        const std::vector<double> p = distribution(table, sequence.tokens[i - 1]);
        double entropy = 0;
        for (const double share : p) entropy -= share > 0 ? share * std::log(share) : 0.0;
        values.push_back(
            {static_cast<float>(std::log(p[static_cast<std::size_t>(sequence.tokens[i])])),
             static_cast<float>(entropy)});
      }
    return values;
  }
  double gradient_norm() override {
    double sum = 0;
    for (const float g : gradient_) sum += static_cast<double>(g) * static_cast<double>(g);
    return std::sqrt(sum);
  }
  void step(const gpu::AdamW& adamw, float learning_rate, float gradient_scale) override {
    ++steps_;
    const double bias1 = 1 - std::pow(static_cast<double>(adamw.beta1), steps_);
    const double bias2 = 1 - std::pow(static_cast<double>(adamw.beta2), steps_);
    for (std::size_t i = kept_.first; i < kept_.first + kept_.count; ++i) {
      const float g = -gradient_[i] * gradient_scale;
      m_[i] = adamw.beta1 * m_[i] + (1 - adamw.beta1) * g;
      v_[i] = adamw.beta2 * v_[i] + (1 - adamw.beta2) * g * g;
      weights_[i] *= 1 - learning_rate * adamw.weight_decay;
      weights_[i] -=
          learning_rate *
          static_cast<float>(m_[i] / bias1 /
                             (std::sqrt(v_[i] / bias2) + static_cast<double>(adamw.epsilon)));
    }
    zero_gradient();
  }
  void zero_gradient() override { std::fill(gradient_.begin(), gradient_.end(), 0.0f); }
  void load(const float* weights) override {
    std::copy(weights, weights + weights_.size(), weights_.begin());
    reset_optimizer();
  }
  void reset_optimizer() override {
    std::fill(m_.begin(), m_.end(), 0.0f);
    std::fill(v_.begin(), v_.end(), 0.0f);
    steps_ = 0;
  }
  void copy_weights(float* out) const override { std::copy(weights_.begin(), weights_.end(), out); }
  std::uint64_t elements() const override { return weights_.size(); }
  std::span<float> weight_buffer() override { return weights_; }
  std::span<float> gradient_buffer() override { return gradient_; }
  void divide(std::size_t, gpu::FlatRange kept) override {
    kept_ = kept;
    reset_optimizer();
  }

 private:
  static std::size_t first(const gpu::Sequence& sequence) {
    return static_cast<std::size_t>(sequence.first_target);
  }
  std::vector<double> distribution(const float* table, std::int32_t before) const {
    std::vector<double> p(static_cast<std::size_t>(vocab_));
    for (std::int32_t i = 0; i < vocab_; ++i)
      p[static_cast<std::size_t>(i)] =
          static_cast<double>(table[before * vocab_ + i] / view_.temperature);
    for (const std::int32_t banned : view_.banned)
      p[static_cast<std::size_t>(banned)] = -std::numeric_limits<double>::infinity();
    const double highest = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& x : p) sum += x = std::exp(x - highest);
    for (double& x : p) x /= sum;
    return p;
  }
  void backward(std::int32_t before, std::int32_t token, const gpu::TokenWeight& weight,
                float entropy) {
    const std::vector<double> p = distribution(weights_.data(), before);
    for (std::int32_t i = 0; i < vocab_; ++i) {
      const double share = p[static_cast<std::size_t>(i)];
      const double by_log_prob = (i == token ? 1.0 : 0.0) - share;
      const double by_entropy =
          share > 0 ? -share * (std::log(share) + static_cast<double>(entropy)) : 0.0;
      gradient_[static_cast<std::size_t>(before) * static_cast<std::size_t>(vocab_) +
                static_cast<std::size_t>(i)] +=
          static_cast<float>((static_cast<double>(weight.log_prob) * by_log_prob +
                              static_cast<double>(weight.entropy) * by_entropy) /
                             static_cast<double>(view_.temperature));
    }
  }

  std::int32_t vocab_;
  gpu::SamplingView view_;
  std::vector<float> weights_, gradient_, m_, v_;
  gpu::FlatRange kept_;  // what a step moves
  int steps_ = 0;
};

}  // namespace troupe::support
