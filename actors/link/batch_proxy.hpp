#pragma once
// The replay buffer as a learner of another process sees it. It hides a lost link: what became of a batch is told until it
// is known to have arrived, what is waited for arrives later.
#include "actors/interfaces.hpp"
#include "actors/link/ways.hpp"
#include "actors/waiting_line.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

/// Answers take and settle of ReplayBuffer, and
///   attached        the link is there (again)
///   flush -> true   once nothing is left to be settled
class BatchProxyState {
 public:
  static inline const char* name = "batch-proxy";
  using Self = caf::stateful_actor<BatchProxyState>*;

  void begin(Self self, std::shared_ptr<BatchWay> way, Deadlines deadlines);
  caf::result<BatchPtr> take(const TrainedReport& report);
  void settle(const TrainedReport& report);
  caf::result<bool> flush();
  void attached();
  void check();

 private:
  void ask();
  void came(const caf::expected<BatchPtr>& batch);
  void send_settle();
  void settled();

  Self self_ = nullptr;
  std::shared_ptr<BatchWay> way_;
  Deadlines deadlines_;
  WaitingLine<BatchPtr, PolicyVersion> askers_;  // one, as a learner has one request open
  std::optional<TrainedReport> unsettled_;  // of the last batch, until it is known to have arrived
  bool asking_ = false, settling_ = false;
  std::vector<caf::typed_response_promise<bool>> flushers_;
};

/// Cast its handle to ReplayBuffer with caf::actor_cast.
caf::behavior batch_proxy(BatchProxyState::Self self, std::shared_ptr<BatchWay> way,
                          Deadlines deadlines);

}  // namespace troupe
