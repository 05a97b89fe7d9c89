#include "gpu/training/policy_measurements.hpp"

#include "gpu/training/kl.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::gpu {

PolicyMeasurements::PolicyMeasurements(std::size_t tokens)
    : stride_(std::max<std::size_t>(1, (tokens + 255) / 256)) {}

void PolicyMeasurements::add(const TokenLogProbs& token, double entropy, double kl_reference,
                             Clip clip) {
  const double ratio = std::exp(token.current - token.behaviour);
  if (tokens_ % stride_ == 0) ratios_.push_back(ratio);
  ratio_max_ = tokens_ == 0 ? ratio : std::max(ratio_max_, ratio);
  ratio_min_ = tokens_ == 0 ? ratio : std::min(ratio_min_, ratio);
  ratio_sum_ += ratio;
  ratio_squares_ += ratio * ratio;
  entropy_ += entropy;
  kl_behaviour_ +=
      k3(token.behaviour, token.current).value;  // the tokens are the behaviour policy's
  kl_reference_ += kl_reference;
  low_ += clip == Clip::low;
  high_ += clip == Clip::high;
  dual_ += clip == Clip::dual;
  ++tokens_;
}

void PolicyMeasurements::write(UpdateStats& stats) const {
  if (tokens_ == 0) return;
  const auto n = static_cast<double>(tokens_);
  stats.entropy = entropy_ / n;
  stats.kl_behaviour = kl_behaviour_ / n;
  stats.kl_reference = kl_reference_ / n;
  stats.clip_fraction_low = static_cast<double>(low_) / n;
  stats.clip_fraction_high = static_cast<double>(high_) / n;
  stats.clip_fraction_dual = static_cast<double>(dual_) / n;
  stats.ratio_mean = ratio_sum_ / n;
  stats.ratio_max = ratio_max_;
  stats.ratio_min = ratio_min_;
  stats.effective_sample_size =
      ratio_squares_ > 0 ? ratio_sum_ * ratio_sum_ / (n * ratio_squares_) : 0.0;
  stats.ratios = ratios_;
}

}  // namespace troupe::gpu
