#pragma once
// A version's weights from one rank to another, bucket by bucket.
#include "gpu/transport/communicator.hpp"

#include <array>
#include <cstddef>
#include <functional>
#include <span>

namespace troupe::gpu {

/// Works on a communicator of two ranks, sender (0) and receiver (1): one per generator, so that a
/// death touches one only. Two buckets of the communicator's memory: while one is on its way, the
/// other is filled or emptied by a second thread. Used by one thread. Errors: as Communicator.
class WeightCarrier {
 public:
  /// Between the weights' memory and the buckets'. Called by a second thread.
  using Copy = std::function<void(float* to, const float* from, std::size_t count)>;

  /// Buckets of equal size, the same on both sides. They and `link` outlive the carrier.
  WeightCarrier(Communicator& link, std::array<std::span<float>, 2> buckets, Copy copy);

  /// Both sides give equally many floats. That they agree, the digest of the version tells.
  void send(std::span<const float> weights);
  void receive(std::span<float> weights);

 private:
  std::size_t parts(std::size_t floats) const;
  FlatRange part(std::size_t k, std::size_t floats) const;
  void broadcast(std::size_t k, std::size_t floats);

  Communicator& link_;
  const std::array<std::span<float>, 2> buckets_;
  const Copy copy_;
};

}  // namespace troupe::gpu
