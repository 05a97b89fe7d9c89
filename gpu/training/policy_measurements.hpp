#pragma once
// Sums over trained tokens, from which UpdateStats' means are made.
#include "gpu/training/importance.hpp"
#include "gpu/training/policy_loss.hpp"
#include "gpu/training/policy_update.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu {

class PolicyMeasurements {
 public:
  /// Keeps every n-th ratio so that at most 256 of `tokens` are kept.
  explicit PolicyMeasurements(std::size_t tokens);

  void add(const TokenLogProbs& token, double entropy, double kl_reference, Clip clip);
  /// What ranks tell each other: always equally many numbers.
  std::vector<double> numbers() const;
  /// Becomes the sums of all ranks, given the numbers of each, rank by rank.
  void add_ranks(std::span<const double> numbers);
  /// Writes the means. Without a token nothing changes.
  void write(UpdateStats& stats) const;

 private:
  void add(std::span<const double> numbers);

  std::size_t stride_;
  std::uint64_t tokens_ = 0, low_ = 0, high_ = 0, dual_ = 0;
  double entropy_ = 0, kl_behaviour_ = 0, kl_reference_ = 0;
  double ratio_sum_ = 0, ratio_squares_ = 0, ratio_max_ = 0, ratio_min_ = 0;
  std::vector<double> ratios_;
};

}  // namespace troupe::gpu
