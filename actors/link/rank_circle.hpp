#pragma once
// How the ranks of a learner that are processes find each other.
#include "actors/link/rank_accord.hpp"
#include "gpu/transport/byte_stream.hpp"
#include "gpu/transport/communicator.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/tls.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

class RankMeeting;

struct RankCirclePlan {
  int rank = 0;
  std::vector<std::string> addresses;  // of all ranks, "host:port"
  std::string listen;                  // where this one listens; empty: at its address
  std::optional<wire::TlsFiles> tls;   // none: plain, on loopback addresses only
  std::string config_digest, weights_digest;
  double join_seconds = 0;             // for all to come
  double silence_seconds = 0;          // a host that vanishes is noticed after that
  std::chrono::milliseconds deadline;  // of each call of the communicator
  CommunicatorUse communicator = CommunicatorUse::automatic;
  std::shared_ptr<const gpu::NcclLibrary> nccl;  // null: this rank has none
  std::string nccl_problem;                      // why
  wire::KjThread::Log log;
  std::function<void(const std::string& why)> agreed;  // hears how they exchange
  std::shared_ptr<const std::atomic<bool>> given_up =
      {};  // asked while the others are waited for; null: never
};

/// The number at the end of a process's name, "learner-2": its rank; 0 without one.
int rank_of_name(const std::string& name);

/// One rank's place among the others, and the loop that its connections live on. What it gives out ends before it.
class RankCircle {
 public:
  /// Waits until all have come and agreed. Errors: throws std::runtime_error naming who has not, or why one was refused;
  /// gpu::LostRank if they do not meet by NCCL.
  explicit RankCircle(const RankCirclePlan& plan);
  ~RankCircle();
  RankCircle(const RankCircle&) = delete;
  RankCircle& operator=(const RankCircle&) = delete;

  std::shared_ptr<gpu::Communicator> communicator() const { return communicator_; }
  /// What tasks go over. Rank 0: to rank 1, 2, ...; others: from rank 0 alone.
  const std::vector<std::shared_ptr<gpu::ByteStream>>& tasks() const { return tasks_; }
  /// `lost` hears, on another thread, of each rank a connection of which ends, or has.
  void watch(std::function<void(int rank)> lost);
  /// From here on nobody is lost who hangs up: the run is over.
  void at_peace() { *peace_ = true; }

 private:
  std::shared_ptr<gpu::Communicator> over_ring(const RankCirclePlan& plan);
  std::shared_ptr<gpu::Communicator> over_nccl(const RankCirclePlan& plan, const gpu::NcclId& id);

  RankMeeting* meeting_ = nullptr;  // a name; used on the loop only
  std::unique_ptr<wire::KjThread> thread_;
  const std::shared_ptr<std::atomic<bool>> peace_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::shared_ptr<gpu::ByteStream>> tasks_;
  std::shared_ptr<gpu::ByteStream> next_, previous_;  // of the ring
  std::shared_ptr<gpu::Communicator> communicator_;
};

}  // namespace troupe
