#pragma once
// Versions from one process's device to another's, one after the other, by a thread of their own.
#include "gpu/transport/nccl_device.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>

namespace troupe::gpu {

/// One end of a group of two, sender (rank 0) and receiver (1): one group per receiver, so that a death touches one only.
/// The group is made with the first version. Safe from any thread.
class WeightPipe {
 public:
  /// Called by the pipe's thread, once for each version. problem: empty if it was carried; after one the pipe is lost.
  using Done = std::function<void(const std::string& problem)>;

  /// deadline: of making the group, and of each bucket.
  WeightPipe(std::shared_ptr<const NcclLibrary> library, const NcclPlace& place,
             std::chrono::milliseconds deadline);
  ~WeightPipe();
  WeightPipe(const WeightPipe&) = delete;
  WeightPipe& operator=(const WeightPipe&) = delete;

  /// The values stay where they are until `done`. Both ends give equally many.
  void send(std::span<const float> values, Done done);
  void receive(std::span<float> values, Done done);
  /// Ends what is under way, from any thread; every later version fails with `why`.
  void abort(const std::string& why);
  /// Bytes moved so far, to see that it does.
  std::uint64_t moved() const { return moved_; }

 private:
  struct Job {
    std::span<const float> from;
    std::span<float> to;
    Done done;
  };
  void give(Job job);
  void work();
  std::string carry(const Job& job);
  std::shared_ptr<Communicator> group();

  const std::shared_ptr<const NcclLibrary> library_;
  const NcclPlace place_;
  const std::chrono::milliseconds deadline_;
  std::shared_ptr<float[]> first_, second_;  // buckets, of the device; used by the thread
  std::atomic<std::uint64_t> moved_ = 0;
  std::mutex mutex_;  // guards the four below
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::shared_ptr<Communicator> group_;  // null: not yet
  std::string lost_;                     // why; empty: it is not
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace troupe::gpu
