#pragma once
// The part of a site that lives on the loop: what the process is cast for, and the links that this takes.
#include "actors/link/desks.hpp"
#include "actors/link/seats.hpp"
#include "actors/link/site.hpp"
#include "actors/link/ways.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_gate.hpp"
#include "actors/link/weight_intake.hpp"
#include "actors/link/weight_link.hpp"
#include "messages/wire/kj_thread.hpp"

#include <kj/async.h>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

/// Lives on the loop. What it calls back is given at its making; it never blocks.
class SiteDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Finish = std::function<void(SiteEnd)>;
  /// Posts work to this desk from any thread.
  using Post = std::function<void(std::function<void(SiteDesk&)>)>;

  SiteDesk(wire::Loop& loop, const SitePlan& plan, Post post, Finish finish);
  ~SiteDesk() noexcept(false);

  // What the director's process calls (GeneratorSite and VerifierSite in roles.capnp).
  kj::Promise<void> begin_generator(const CallSheet& sheet, wire::TicketSource::Client tickets,
                                    kj::Maybe<wire::WeightSource::Client> weights,
                                    const WeightPlace& weights_at);
  void weights_at(const WeightPlace& place);
  kj::Promise<Rollouts> take(std::uint32_t count, const RolloutIds& acknowledged);
  kj::Promise<SiteTotals> end_generator();
  void begin_verifier(const CallSheet& sheet, wire::VerdictSink::Client verdicts);
  void join(const std::string& generator, wire::RolloutSource::Client source);
  void end_verifier();
  void dismiss(const std::string& reason);
  void leave(double seconds);

  // What proxies send, through their ways.
  bool cast_for(std::uint64_t cast) const { return sheet_ && sheet_->cast == cast; }
  kj::Promise<Tickets> grant(std::uint64_t sequence, std::uint32_t count);
  kj::Promise<void> notice(const RolloutNotices& notices);
  kj::Promise<Weights> next_weights(std::uint64_t at_least);
  kj::Promise<RolloutIds> append(const GradedRollouts& graded);
  kj::Promise<Rollouts> take_from(std::uint64_t source, std::uint32_t count,
                                  const RolloutIds& acknowledged);

  template <class T>
  kj::Promise<T> in_time(kj::Promise<T> promise) {
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), kj::mv(promise));
  }
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }

 private:
  void joined(capnp::Capability::Client post);
  void left();
  kj::Promise<void> report(capnp::Capability::Client post, const SiteReport& facts);
  void open_gate(wire::Loop& loop);
  void weights_attached();
  void stop_casting(const char* why);
  void forget(std::uint64_t source);
  kj::Promise<void> hand_over();
  kj::Promise<void> say_farewell();
  void actor_ended(const caf::actor_addr& who, const caf::error& reason);
  void finish(SiteEnd::Kind kind, const std::string& text);
  void taskFailed(kj::Exception&& exception) override;

  const SitePlan plan_;
  kj::Timer& timer_;
  Post post_;
  Finish finish_;
  caf::actor porter_;              // asks local actors on the loop's behalf
  kj::Own<wire::TlsContext> tls_;  // null: plain
  bool ended_ = false, leaving_ = false;

  std::optional<CallSheet> sheet_;  // what the process is cast for
  caf::actor generator_, verifier_, buffer_, broadcaster_;
  caf::actor relayed_;  // has what the generator holds, for others; null: it hands nothing on
  kj::Maybe<wire::TicketSource::Client> tickets_;
  kj::Maybe<wire::WeightSource::Client> weights_;  // of the process with the gate
  std::optional<WeightLink> link_;                 // of a generator, to a broadcaster apart
  std::optional<WeightIntake> intake_;             // of a generator
  kj::Maybe<wire::VerdictSink::Client> verdicts_;
  std::map<std::uint64_t, wire::RolloutSource::Client> sources_;
  std::map<std::uint64_t, caf::actor> source_actors_;
  std::uint64_t last_source_ = 0;
  std::optional<WeightDispatch> dispatch_;
  kj::Own<Membership> membership_;
  kj::TaskSet tasks_{*this};
  kj::Own<WeightGate> gate_;  // null: none. Last: its callbacks use all above
};

}  // namespace troupe
