#include "gpu/training/policy_measurements.hpp"

#include "gpu/training/kl.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::gpu {
namespace {

constexpr std::size_t kRatios = 256;  // kept, of all ranks together
constexpr std::size_t kSums = 12;     // numbers before a rank's ratios

}  // namespace

PolicyMeasurements::PolicyMeasurements(std::size_t tokens)
    : stride_(std::max<std::size_t>(1, (tokens + kRatios - 1) / kRatios)) {}

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

std::vector<double> PolicyMeasurements::numbers() const {
  std::vector<double> all{static_cast<double>(tokens_),
                          static_cast<double>(low_),
                          static_cast<double>(high_),
                          static_cast<double>(dual_),
                          entropy_,
                          kl_behaviour_,
                          kl_reference_,
                          ratio_sum_,
                          ratio_squares_,
                          ratio_max_,
                          ratio_min_,
                          static_cast<double>(ratios_.size())};
  all.insert(all.end(), ratios_.begin(), ratios_.end());
  all.resize(kSums + kRatios);
  return all;
}

void PolicyMeasurements::add_ranks(std::span<const double> numbers) {
  const std::size_t stride = stride_;
  *this = PolicyMeasurements(0);
  stride_ = stride;
  for (; !numbers.empty(); numbers = numbers.subspan(kSums + kRatios))
    if (numbers[0] > 0) add(numbers.first(kSums + kRatios));
}

void PolicyMeasurements::add(std::span<const double> numbers) {
  ratio_max_ = tokens_ == 0 ? numbers[9] : std::max(ratio_max_, numbers[9]);
  ratio_min_ = tokens_ == 0 ? numbers[10] : std::min(ratio_min_, numbers[10]);
  tokens_ += static_cast<std::uint64_t>(numbers[0]);
  low_ += static_cast<std::uint64_t>(numbers[1]);
  high_ += static_cast<std::uint64_t>(numbers[2]);
  dual_ += static_cast<std::uint64_t>(numbers[3]);
  entropy_ += numbers[4];
  kl_behaviour_ += numbers[5];
  kl_reference_ += numbers[6];
  ratio_sum_ += numbers[7];
  ratio_squares_ += numbers[8];
  const auto ratios = numbers.subspan(kSums, static_cast<std::size_t>(numbers[11]));
  const std::size_t taken = std::min(ratios.size(), kRatios - ratios_.size());
  ratios_.insert(ratios_.end(), ratios.begin(),
                 ratios.begin() + static_cast<std::ptrdiff_t>(taken));
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
