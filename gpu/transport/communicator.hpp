#pragma once
// What the ranks of one learner do together: sums of gradients, whole weights, meeting points.
#include "gpu/error.hpp"
#include "gpu/transport/flat_range.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace troupe::gpu {

/// The group is of no use any more: a rank did not come, or the group was ended.
class LostRank : public Error {
 public:
  using Error::Error;
};

/// One rank's end of a group. All ranks make the same calls in the same order with equal sizes.
/// A sum is ((v0 + v1) + v2) + ..., by rank and never by arrival, so it is the same in every run,
/// and the same to the bit in every back end that adds in float itself.
///
/// Every call has the group's deadline. Errors: throws LostRank naming the rank, the call and
/// what happened: a rank that did not come, another call elsewhere, an abort. After an error the
/// group is lost: every later call throws, and buffers hold anything.
/// Used by one thread at a time, `abort` by any.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Whether spans may lie in the memory of a GPU, on all ranks or on none.
  virtual bool reaches_devices() const { return false; }

  /// In place: `values` becomes the sum over all ranks.
  virtual void all_reduce_sum(std::span<float> values) = 0;
  /// In place: this rank's block of `values` becomes the sum; the rest holds anything.
  virtual void reduce_scatter_sum(std::span<float> values, std::size_t block) = 0;
  /// In place: every rank gives its block of `all` (of `block` bytes) and gets all others.
  virtual void all_gather(std::span<std::byte> all, std::size_t block) = 0;
  /// `bytes` of rank `root`, for all.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;
  /// Returns once all ranks have come.
  virtual void barrier() = 0;

  /// Ends the group: calls under way and later ones throw, giving `why`. The first reason stays.
  virtual void abort(const std::string& why) = 0;
};

}  // namespace troupe::gpu
