#pragma once
// Counter-based random numbers: a draw is a function of its key and counter, so sampling is
// independent of batching, of the host and of who else is running. Source: Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011.
#include <array>
#include <cstdint>

namespace troupe::gpu {

/// Philox4x32-10.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low,
                                    std::uint64_t counter_high);

/// Uniform in (0, 1), odd multiples of 2^-53, keyed by (seed, stream, position). For sampling:
/// stream = rollout id, position = index of the completion token.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t position);

/// A stream of draws, for shuffles, corpora and initial weights. The same on every machine. Used by
/// one thread at a time.
class PhiloxStream {
 public:
  PhiloxStream(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}
  std::uint64_t next();                      // 64 uniform bits
  double uniform();                          // (0, 1)
  std::uint64_t below(std::uint64_t bound);  // 0 .. bound-1, without bias; bound > 0
  double normal();                           // N(0, 1)

 private:
  std::uint64_t seed_, stream_, position_ = 0;
};

}  // namespace troupe::gpu
