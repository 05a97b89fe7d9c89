#include "gpu/sampling/sampler.hpp"

#include "gpu/error.hpp"
#include "gpu/kernels/decode_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void require(bool ok, const std::string& problem) {
  if (!ok) throw Error("sampling: " + problem);
}

void check(const SamplingParams& params, std::int32_t vocab) {
  require(vocab > 0, "the vocabulary is empty");
  require(params.temperature == 0.0f || (params.temperature >= 1e-3f && params.temperature <= 1e3f),
          "temperature must be 0 or between 0.001 and 1000");
  require(params.top_k >= 0, "top_k must not be negative; 0 keeps all tokens");
  require(params.top_p > 0.0f && params.top_p <= 1.0f, "top_p must be above 0 and at most 1");
  require(params.max_new_tokens > 0, "max_new_tokens must be positive");
  const auto outside = [&](std::int32_t token) { return token < 0 || token >= vocab; };
  require(std::none_of(params.stop_tokens.begin(), params.stop_tokens.end(), outside),
          "a stop token is not in the vocabulary");
  require(std::none_of(params.banned.begin(), params.banned.end(), outside),
          "a banned token is not in the vocabulary");
}

/// The token at which the running sum of masses, taken in the order of token_at(0 .. count-1),
/// passes `target`.
template <class TokenAt>
std::size_t inverse_cdf(const std::vector<float>& mass, std::size_t count, double target,
                        TokenAt token_at) {
  std::size_t chosen = token_at(0);
  double seen = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t token = token_at(i);
    if (mass[token] == 0.0f) continue;
    chosen = token;  // the last possible token stands where rounding carries past the end
    seen += static_cast<double>(mass[token]);
    if (seen > target) break;
  }
  return chosen;
}

}  // namespace

Sampler::Sampler(std::int32_t vocab, SamplingParams params)
    : params_(std::move(params)),
      inverse_temperature_(params_.temperature > 0.0f ? 1.0f / params_.temperature : 1.0f) {
  check(params_, vocab);
  const auto size = static_cast<std::size_t>(vocab);
  bias_.assign(size, 0.0f);
  mass_.resize(size);
  for (const std::int32_t token : params_.banned)
    bias_[static_cast<std::size_t>(token)] = kForbidden;
  require(std::count(bias_.begin(), bias_.end(), 0.0f) > 0, "every token is banned");
}

Choice Sampler::sample(const float* logits, double draw) {
  const std::size_t best = argmax(logits);
  const double total = fill_mass(logits, logits[best]);
  const bool filtered = params_.top_k > 0 || params_.top_p < 1.0f;
  std::size_t token = best;
  if (params_.temperature > 0.0f && filtered) {
    token = pick_filtered(draw);
  } else if (params_.temperature > 0.0f) {
    token = inverse_cdf(mass_, mass_.size(), draw * total, [](std::size_t i) { return i; });
  }
  const double scaled = static_cast<double>((logits[token] - logits[best]) * inverse_temperature_);
  return {static_cast<std::int32_t>(token), static_cast<float>(scaled - std::log(total))};
}

std::size_t Sampler::argmax(const float* logits) const {
  std::size_t best = 0;
  float highest = kForbidden;
  for (std::size_t i = 0; i < bias_.size(); ++i) {
    const float logit = logits[i] + bias_[i];
    if (logit > highest) {
      highest = logit;
      best = i;
    }
  }
  require(std::isfinite(highest), "no allowed logit is finite: the weights are broken");
  return best;
}

/// mass_[i] = exp((logit_i - highest) / temperature), 0 for banned tokens. Returns the sum.
double Sampler::fill_mass(const float* logits, float highest) {
  decode_kernels()->masses(static_cast<std::ptrdiff_t>(mass_.size()), logits, bias_.data(), highest,
                           inverse_temperature_, mass_.data());
  double total = 0.0;
  for (const float mass : mass_) total += static_cast<double>(mass);
  require(std::isfinite(total), "a logit is not a number: the weights are broken");
  return total;
}

/// Top-k first, then top-p of what top-k left.
std::size_t Sampler::pick_filtered(double draw) {
  order_.resize(mass_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::size_t kept = order_.size(), ranked = 0;
  if (params_.top_k > 0) {
    kept = std::min(kept, static_cast<std::size_t>(params_.top_k));
    rank(0, kept);
    ranked = kept;
  }
  if (params_.top_p < 1.0f) kept = nucleus(kept, ranked);
  const auto token_at = [this](std::size_t i) { return static_cast<std::size_t>(order_[i]); };
  return inverse_cdf(mass_, kept, draw * mass_of_first(kept), token_at);
}

/// How many of the first `kept` tokens by rank, of which `ranked` are in order, reach top_p of
/// their mass.
std::size_t Sampler::nucleus(std::size_t kept, std::size_t ranked) {
  const double wanted = static_cast<double>(params_.top_p) * mass_of_first(kept);
  double seen = 0.0;
  for (std::size_t i = 0; i < kept; ++i) {
    if (i == ranked) {  // seldom is more than a fraction of the vocabulary needed
      ranked = std::min(kept, std::max<std::size_t>(64, 4 * ranked));
      rank(i, ranked);
    }
    seen += static_cast<double>(mass_[static_cast<std::size_t>(order_[i])]);
    if (seen >= wanted) return i + 1;
  }
  return kept;
}

/// Puts ranks first..last-1 in order, most probable first, the lower of equals first.
void Sampler::rank(std::size_t first, std::size_t last) {
  const auto at = [this](std::size_t i) { return order_.begin() + static_cast<std::ptrdiff_t>(i); };
  std::partial_sort(at(first), at(last), order_.end(), [this](std::int32_t a, std::int32_t b) {
    const float mass_a = mass_[static_cast<std::size_t>(a)];
    const float mass_b = mass_[static_cast<std::size_t>(b)];
    return mass_a > mass_b || (mass_a == mass_b && a < b);
  });
}

double Sampler::mass_of_first(std::size_t count) const {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i)
    sum += static_cast<double>(mass_[static_cast<std::size_t>(order_[i])]);
  return sum;
}

}  // namespace troupe::gpu
