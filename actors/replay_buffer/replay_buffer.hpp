#pragma once
// The replay buffer's actor: a shell around the ledger.
#include "actors/interfaces.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace troupe {

struct ReplayBufferPlan {
  LedgerConfig ledger;
  std::function<TicketPrompt()> next_prompt;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
};

struct TicketWish {
  std::string holder;
  std::uint32_t count = 0;
};

struct ReplayBufferState {
  static inline const char* name = "replay-buffer";
  explicit ReplayBufferState() : ledger(LedgerConfig{}) {}
  void begin(ReplayBufferPlan taken);
  double seconds(caf::actor_clock::time_point now) const;
  void settle(const TrainedReport& report);
  /// Answers whoever can be answered.
  void serve(caf::actor_clock::time_point now);
  void serve_learner();
  void serve_generators(double now);
  /// A generator is no more.
  void end(const std::string& holder, bool left);
  void report();

  ReplayBufferPlan plan;
  Ledger ledger;
  bool closed = false;
  WaitingLine<Tickets, TicketWish> generators;
  WaitingLine<BatchPtr, PolicyVersion> learner;
  std::map<caf::actor_addr, std::string> holders;
  caf::actor_clock::time_point started;
  std::uint64_t expired_stale = 0, expired_deadline = 0;  // as exported
  BatchPtr leased;                                        // with the learner, or on its way there
  std::uint64_t moved = 0;  // tells whether anything has happened since the last report
  prometheus::Counter* appended = nullptr;
  prometheus::Counter* consumed = nullptr;
  prometheus::Counter* duplicates = nullptr;
  ActivityLog* activity = nullptr;
};

ReplayBuffer::behavior_type replay_buffer(ReplayBuffer::stateful_pointer<ReplayBufferState> self,
                                          ReplayBufferPlan plan);

}  // namespace troupe
