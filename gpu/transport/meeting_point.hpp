#pragma once
// Where threads wait for each other before they touch each other's buffers.
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::gpu {

/// What one rank is about to do. Others touch `data` between `meet` and `part` only.
struct Call {
  const char* name = "";
  std::byte* data = nullptr;
  std::size_t bytes = 0, block = 0;
  int root = 0;
};

/// Safe from any thread; each rank comes from one at a time.
class MeetingPoint {
 public:
  MeetingPoint(int size, std::chrono::milliseconds deadline);

  /// Waits until every rank has come with its call: then all return, or all throw because calls
  /// differ. Errors: LostRank, see Communicator.
  void meet(int rank, const Call& call);
  /// Waits until every rank is done with the others' buffers. Without a deadline and deaf to an
  /// abort: who has met only copies memory, and must not find a buffer gone.
  void part();
  /// The calls of all ranks, by rank; valid between `meet` and `part`.
  const std::vector<Call>& calls() const { return calls_; }

  void abort(const std::string& why);

 private:
  using Lock = std::unique_lock<std::mutex>;

  bool last_to_arrive();
  void wait_in_time(Lock& lock, int rank);
  void compare();
  std::string absent() const;
  [[noreturn]] void fail(int rank, const char* name) const;

  const std::chrono::milliseconds deadline_;
  std::mutex mutex_;  // guards all below, but calls_ between a meet and a part
  std::condition_variable came_;
  std::vector<Call> calls_;
  std::vector<bool> here_;
  std::size_t arrived_ = 0, round_ = 0;
  std::string problem_;
  bool different_ = false;  // the calls of a round: nobody may touch a buffer
};

}  // namespace troupe::gpu
