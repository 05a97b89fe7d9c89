#pragma once
// The part of a relay that lives on the loop: its membership, its gate, and what it is cast for.
#include "actors/link/call_sheet.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_gate.hpp"
#include "actors/link/weight_intake.hpp"
#include "actors/link/weight_link.hpp"
#include "messages/wire/kj_thread.hpp"

#include <functional>
#include <kj/async.h>
#include <optional>
#include <string>

namespace troupe {

/// Lives on the loop. What it calls back is given at its making; it never blocks.
class RelayDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Post = std::function<void(std::function<void(RelayDesk&)>)>;
  using Finish = std::function<void(SiteEnd)>;

  RelayDesk(wire::Loop& loop, const RelayPlan& plan, Post post, Finish finish);
  ~RelayDesk() noexcept(false);

  // What the director's process calls (BroadcasterSite in roles.capnp).
  void begin(const CallSheet& sheet, wire::WeightSource::Client weights);
  void weights_at(const std::string& address) { learner_->dial({address}); }
  void end(const char* why);
  void finish(const SiteEnd& end);
  /// Of the gate, as generators dial it.
  const std::string& address() const { return gate_->address(); }

  // What the proxy of the director's broadcaster sends, through its way.
  kj::Promise<Weights> next_weights(std::uint64_t at_least);
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }

 private:
  void joined(capnp::Capability::Client post);
  void attached();
  kj::Promise<void> report(capnp::Capability::Client post, const SiteReport& facts);
  void taskFailed(kj::Exception&& exception) override;

  const RelayPlan plan_;
  kj::Timer& timer_;
  Post post_;
  Finish finish_;
  caf::actor porter_;              // asks local actors on the loop's behalf
  kj::Own<wire::TlsContext> tls_;  // null: plain
  bool ended_ = false;
  std::optional<CallSheet> sheet_;
  kj::Maybe<wire::WeightSource::Client> upstream_;  // of the process with the gate
  caf::actor proxy_, forwarder_;
  Broadcaster broadcaster_;  // null: nothing is cast
  std::optional<WeightIntake> intake_;
  std::optional<WeightDispatch> dispatch_;
  std::optional<WeightLink> learner_;  // to its gate, if it has one
  kj::Own<Membership> membership_;
  kj::TaskSet tasks_{*this};
  kj::Own<WeightGate> gate_;  // last: its callbacks use all above
};

}  // namespace troupe
