#pragma once
// The part of a relay that lives on the loop: its membership, its gate, and what it is cast for.
#include "actors/link/call_sheet.hpp"
#include "actors/link/door.hpp"
#include "actors/link/relay.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_intake.hpp"
#include "messages/wire/kj_thread.hpp"

#include <functional>
#include <kj/async.h>
#include <map>
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
  void end(const char* why);
  void finish(const SiteEnd& end);
  /// Of the gate, as generators dial it.
  std::string address() const;

  // What the proxy of the director's broadcaster sends, through its way.
  kj::Promise<Weights> next_weights(std::uint64_t at_least);
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }

 private:
  void joined(capnp::Capability::Client post);
  wire::Gate::Client gate_for(const wire::Visitor& visitor);
  kj::Promise<void> report(capnp::Capability::Client post, const SiteReport& facts);
  void taskFailed(kj::Exception&& exception) override;

  const RelayPlan plan_;
  kj::Timer& timer_;
  Post post_;
  Finish finish_;
  caf::actor porter_;              // asks local actors on the loop's behalf
  kj::Own<wire::TlsContext> tls_;  // null: plain
  bool ended_ = false;
  std::uint64_t leases_ = 0;
  std::optional<CallSheet> sheet_;
  kj::Maybe<wire::WeightSource::Client> upstream_;
  caf::actor proxy_, forwarder_;
  Broadcaster broadcaster_;                      // null: nothing is cast
  std::map<std::uint64_t, std::string> guests_;  // names of generators that are here, by session
  std::optional<WeightIntake> intake_;
  std::optional<WeightDispatch> dispatch_;
  kj::Own<Membership> membership_;
  kj::TaskSet tasks_{*this};
  kj::Own<Door> door_;  // last: its callbacks use all above
};

}  // namespace troupe
