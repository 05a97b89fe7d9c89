#pragma once
// How the ranks of a learner that are processes find each other.
#include "gpu/transport/byte_stream.hpp"
#include "gpu/transport/communicator.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/tls.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct RankCirclePlan {
  int rank = 0;
  std::vector<std::string> addresses;  // of all ranks, "host:port"
  std::string listen;                  // where this one listens; empty: at its address
  std::optional<wire::TlsFiles> tls;   // none: plain, on loopback addresses only
  std::string config_digest, weights_digest;
  double join_seconds = 0;             // for all to come
  double silence_seconds = 0;          // a host that vanishes is noticed after that
  std::chrono::milliseconds deadline;  // of each call of the communicator
  wire::KjThread::Log log;
  std::shared_ptr<const std::atomic<bool>> given_up =
      {};  // asked while the others are waited for; null: never
};

/// The number at the end of a process's name, "learner-2": its rank; 0 without one.
int rank_of_name(const std::string& name);

/// One rank's place among the others, and the loop that its connections live on. What it gives out ends before it.
class RankCircle {
 public:
  /// Waits until all have come. Errors: throws std::runtime_error naming who has not, or why one was refused.
  explicit RankCircle(const RankCirclePlan& plan);
  ~RankCircle();
  RankCircle(const RankCircle&) = delete;
  RankCircle& operator=(const RankCircle&) = delete;

  std::shared_ptr<gpu::Communicator> communicator() const { return communicator_; }
  /// What tasks go over. Rank 0: to rank 1, 2, ...; others: from rank 0 alone.
  const std::vector<std::shared_ptr<gpu::ByteStream>>& tasks() const { return tasks_; }

 private:
  class Desk;

  Desk* desk_ = nullptr;  // a name; used on the loop only
  std::unique_ptr<wire::KjThread> thread_;
  std::vector<std::shared_ptr<gpu::ByteStream>> tasks_;
  std::shared_ptr<gpu::Communicator> communicator_;
};

}  // namespace troupe
