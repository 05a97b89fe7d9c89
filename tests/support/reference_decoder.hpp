#pragma once
// A decoder in slow double-precision loops, written from the papers and nothing else: RMSNorm
// (arXiv:1910.07467), RoPE (2104.09864, half-split), grouped-query attention (2305.13245), SwiGLU
// (2002.05202), Qwen2's biases, Qwen3's q and k norms.
#include "gpu/model/decoder_config.hpp"
#include "gpu/model/manifest.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace troupe::gpu {

class ReferenceDecoder {
 public:
  using Vector = std::vector<double>;

  ReferenceDecoder(const DecoderConfig& config, std::vector<float> weights)
      : c_(config), manifest_(manifest_of(config)), weights_(std::move(weights)) {}

  /// One pass over a whole sequence. Returns logits[token][vocab].
  std::vector<Vector> logits(const std::vector<std::int32_t>& tokens) const {
    std::vector<Vector> x;
    for (const std::int32_t token : tokens) x.push_back(embedding(token));
    for (std::int32_t i = 0; i < c_.num_layers; ++i)
      layer("model.layers." + std::to_string(i) + ".", x);
    std::vector<Vector> out;
    const char* head = c_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    for (const Vector& row : x) out.push_back(times(head, rms_norm(row, "model.norm.weight")));
    return out;
  }

 private:
  const float* data(const std::string& name) const {
    return weights_.data() + manifest_.find(name).offset;
  }

  Vector embedding(std::int32_t token) const {
    const float* row =
        data("model.embed_tokens.weight") + static_cast<std::ptrdiff_t>(token) * c_.hidden_size;
    return Vector(row, row + c_.hidden_size);
  }

  /// W x, for W [rows, columns] of that name.
  Vector times(const std::string& name, const Vector& x) const {
    const auto rows = static_cast<std::size_t>(manifest_.find(name).shape[0]);
    const float* w = data(name);
    Vector y(rows, 0.0);
    for (std::size_t r = 0; r < rows; ++r) {
      for (const double value : x) y[r] += static_cast<double>(*w++) * value;
    }
    return y;
  }

  Vector rms_norm(const Vector& x, const std::string& name) const {
    double squares = 0.0;
    for (const double value : x) squares += value * value;
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) +
                                         static_cast<double>(c_.rms_norm_eps));
    const float* w = data(name);
    Vector y;
    for (const double value : x) y.push_back(value * scale * static_cast<double>(*w++));
    return y;
  }

  /// Projection `p` of one row, cut into heads, with bias, norm and rotation where they apply.
  std::vector<Vector> heads(const std::string& layer, char p, const Vector& h,
                            std::size_t position) const {
    const std::string prefix = layer + "self_attn." + p;
    Vector all = times(prefix + "_proj.weight", h);
    if (c_.qkv_bias) {
      const float* bias = data(prefix + "_proj.bias");
      for (double& value : all) value += static_cast<double>(*bias++);
    }
    std::vector<Vector> cut;
    for (auto at = all.begin(); at != all.end(); at += c_.head_dim) {
      Vector head(at, at + c_.head_dim);
      if (c_.qk_norm && p != 'v') head = rms_norm(head, prefix + "_norm.weight");
      cut.push_back(p == 'v' ? head : rotated(head, position));
    }
    return cut;
  }

  Vector rotated(const Vector& x, std::size_t position) const {
    const std::size_t half = x.size() / 2;
    Vector y(x.size());
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) *
                           std::pow(static_cast<double>(c_.rope_theta),
                                    -2.0 * static_cast<double>(i) / static_cast<double>(x.size()));
      y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
      y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
  }

  void layer(const std::string& name, std::vector<Vector>& x) const {
    std::vector<std::vector<Vector>> q, k, v;  // [position][head][head_dim]
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Vector h = rms_norm(x[t], name + "input_layernorm.weight");
      q.push_back(heads(name, 'q', h, t));
      k.push_back(heads(name, 'k', h, t));
      v.push_back(heads(name, 'v', h, t));
    }
    for (std::size_t t = 0; t < x.size(); ++t) {
      Vector attended;
      for (std::size_t head = 0; head < q[t].size(); ++head) {
        const Vector one = attend(q[t][head], k, v, t, head / (q[t].size() / k[t].size()));
        attended.insert(attended.end(), one.begin(), one.end());
      }
      add(x[t], times(name + "self_attn.o_proj.weight", attended));
      add(x[t], swiglu(name + "mlp.", rms_norm(x[t], name + "post_attention_layernorm.weight")));
    }
  }

  static Vector attend(const Vector& q, const std::vector<std::vector<Vector>>& k,
                       const std::vector<std::vector<Vector>>& v, std::size_t last,
                       std::size_t kv_head) {
    Vector scores;
    for (std::size_t t = 0; t <= last; ++t) {
      double score = 0.0;
      for (std::size_t i = 0; i < q.size(); ++i) score += q[i] * k[t][kv_head][i];
      scores.push_back(score / std::sqrt(static_cast<double>(q.size())));
    }
    const double highest = *std::max_element(scores.begin(), scores.end());
    double total = 0.0;
    for (double& score : scores) total += score = std::exp(score - highest);
    Vector out(q.size(), 0.0);
    for (std::size_t t = 0; t <= last; ++t) {
      for (std::size_t i = 0; i < q.size(); ++i) out[i] += scores[t] / total * v[t][kv_head][i];
    }
    return out;
  }

  Vector swiglu(const std::string& mlp, const Vector& h) const {
    const Vector gate = times(mlp + "gate_proj.weight", h), up = times(mlp + "up_proj.weight", h);
    Vector inner;
    for (std::size_t i = 0; i < gate.size(); ++i) {
      inner.push_back(gate[i] / (1.0 + std::exp(-gate[i])) * up[i]);
    }
    return times(mlp + "down_proj.weight", inner);
  }

  static void add(Vector& to, const Vector& what) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  DecoderConfig c_;
  Manifest manifest_;
  std::vector<float> weights_;
};

/// log softmax(logits / temperature)[token], in nats.
inline double reference_log_prob(const std::vector<double>& logits, std::int32_t token,
                                 double temperature = 1.0) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0.0;
  for (const double logit : logits) total += std::exp((logit - highest) / temperature);
  return (logits[static_cast<std::size_t>(token)] - highest) / temperature - std::log(total);
}

}  // namespace troupe::gpu
