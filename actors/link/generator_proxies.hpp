#pragma once
// Replay buffer and broadcaster as a generator of another process sees them: local actors of the same interfaces. They
// hide a lost link: what could not be sent is sent again, what is waited for arrives later.
#include "actors/interfaces.hpp"
#include "actors/link/ways.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "actors/waiting_line.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <deque>
#include <memory>
#include <optional>

namespace troupe {

using flush_atom = caf::atom_constant<caf::atom("flush")>;

struct BufferProxyPlan {
  std::shared_ptr<TicketWay> way;
  Deadlines deadlines;
  Telemetry* telemetry = nullptr;
  std::size_t notice_bytes = 4u << 20;  // of parts in one message, if there is more than one
};

/// Answers grant and notice of ReplayBuffer, and
///   attached        the link is there (again): what is open is sent
///   flush -> true   once every notice has arrived
class BufferProxyState {
 public:
  static inline const char* name = "replay-buffer-proxy";
  using Self = caf::stateful_actor<BufferProxyState>*;

  void begin(Self self, BufferProxyPlan plan);
  caf::result<Tickets> grant(std::uint32_t count);
  void notice(const RolloutNotices& notices);
  caf::result<bool> flush();
  void attached();
  void check();

 private:
  void ask();
  void granted(const caf::expected<Tickets>& tickets);
  void send_notices();
  void told(std::size_t count, const caf::expected<caf::unit_t>& sent);
  std::size_t notices_that_fit() const;

  Self self_ = nullptr;
  BufferProxyPlan plan_;
  WaitingLine<Tickets, std::uint32_t> askers_;  // one, as a generator has one request open
  std::uint64_t sequence_ = 1;                  // of the grant under way, or the next
  std::uint32_t count_ = 0;                     // asked for with it; 0: none under way
  bool asking_ = false;
  std::optional<Tickets> spare_;  // came after their asker had given up
  std::deque<RolloutNotice> notices_;
  bool sending_ = false;
  std::deque<caf::typed_response_promise<bool>> flushers_;
};

/// Cast its handle to ReplayBuffer with caf::actor_cast.
caf::behavior buffer_proxy(BufferProxyState::Self self, BufferProxyPlan plan);

/// Answers take of Broadcaster.
class BroadcasterProxyState {
 public:
  static inline const char* name = "broadcaster-proxy";
  using Self = caf::stateful_actor<BroadcasterProxyState>*;

  void begin(Self self, std::shared_ptr<WeightWay> way, Deadlines deadlines);
  caf::result<Weights> take(std::uint64_t at_least);
  void attached() { ask(); }
  void check();

 private:
  void ask();
  void came(const caf::expected<Weights>& weights);

  Self self_ = nullptr;
  std::shared_ptr<WeightWay> way_;
  Deadlines deadlines_;
  WaitingLine<Weights, std::uint64_t> askers_;
  bool asking_ = false;
};

/// Cast its handle to Broadcaster with caf::actor_cast.
caf::behavior broadcaster_proxy(BroadcasterProxyState::Self self, std::shared_ptr<WeightWay> way,
                                Deadlines deadlines);

}  // namespace troupe
