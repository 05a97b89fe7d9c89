#pragma once
// From a row of logits to a token and its log-prob.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu {

struct SamplingParams {
  float temperature = 1.0f;  // 0: argmax, the lowest token of equal logits; log-probs then at
                             // temperature 1
  std::int32_t top_k = 0;    // 0: all
  float top_p = 1.0f;  // 1: all; the smallest set of most probable tokens whose mass reaches top_p
                       // of what top_k left; of equally probable tokens the lower one comes first
  std::int32_t max_new_tokens = 64;
  std::vector<std::int32_t> stop_tokens;  // sampled and kept, then the completion ends
  std::vector<std::int32_t> banned;       // never sampled, probability 0 also in log-probs

  bool operator==(const SamplingParams&) const = default;
};

struct Choice {
  std::int32_t token;
  float log_prob;  // nats, under the distribution after banned tokens and temperature, *before*
                   // top-k and top-p: the one the learner can recompute
};

/// Inverse CDF with one uniform draw per token. Used by one thread at a time.
class Sampler {
 public:
  /// Errors: throws gpu::Error on parameters out of range or a banned set that leaves nothing.
  Sampler(std::int32_t vocab, SamplingParams params);
  /// draw: uniform in (0, 1). Errors: throws gpu::Error if no allowed logit is finite.
  Choice sample(const float* logits, double draw);
  const SamplingParams& params() const { return params_; }

 private:
  std::size_t argmax(const float* logits) const;
  double fill_mass(const float* logits, float highest);
  std::size_t pick_filtered(double draw);
  std::size_t nucleus(std::size_t kept, std::size_t ranked);
  void rank(std::size_t first, std::size_t last);
  double mass_of_first(std::size_t count) const;

  SamplingParams params_;
  float inverse_temperature_;
  std::vector<float> bias_;          // 0 or -infinity per token
  std::vector<float> mass_;          // scratch: unnormalised probabilities
  std::vector<std::int32_t> order_;  // scratch: tokens by probability, for top-k and top-p
};

}  // namespace troupe::gpu
