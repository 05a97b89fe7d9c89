#pragma once
// The part of the office that lives on the loop: sessions, seats and what they are cast for.
#include "actors/broadcaster/relay_tree.hpp"
#include "actors/link/call_sheet.hpp"
#include "actors/link/desks.hpp"
#include "actors/link/door.hpp"
#include "actors/link/office.hpp"
#include "actors/link/roster.hpp"
#include "actors/link/site_report.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_intake.hpp"
#include "actors/link/weight_link.hpp"
#include "actors/telemetry/peer_series.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/training.capnp.h"

#include <kj/async.h>
#include <kj/debug.h>
#include <kj/memory.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// What a process offers; one of the four is there, a learner with both.
struct Sites {
  kj::Maybe<wire::GeneratorSite::Client> generator;
  kj::Maybe<wire::VerifierSite::Client> verifier;
  kj::Maybe<wire::BroadcasterSite::Client> broadcaster;
  kj::Maybe<wire::LearnerSite::Client> learner;
  kj::Maybe<wire::WeightSource::Client> learner_weights;
};

/// One process that offered itself. `cast`, once there, is repeated to the process after a lost link.
struct Seat {
  std::string name, role, address, host;
  std::string gate;  // at which other generators take weights; empty: none
  std::uint64_t lease = 0, session = 0, joins = 0, process_id = 0;
  bool enlisted = false;  // of this session
  Sites sites;
  bool left = false;  // of this session: it holds nothing any more, and will not come back
  struct Casting {
    CallSheet sheet;
    caf::actor stand_in;
    Broadcaster broadcaster;  // of a generator or broadcaster
    ReplayBuffer buffer;      // of a verifier or learner
  };
  std::optional<Casting> casting;
  std::shared_ptr<Lent> lent;  // to a verifier, as it is cast
  std::uint64_t sources = 0;   // generators that it was told of
  std::optional<SiteReport> report;
  kj::TimePoint joined = kj::origin<kj::TimePoint>();
};

/// Lives on the loop.
class FrontDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Announce =
      std::function<void(const std::string& name, const std::string& role, std::uint64_t lease)>;

  FrontDesk(wire::Loop& loop, const OfficePlan& plan, Announce announce);

  unsigned port() const { return door_->port(); }
  /// The seat of this stay, if it has not been given up.
  Seat* find(const std::string& name, std::uint64_t lease);
  /// Announces everyone who is enlisted.
  void announce_all();
  void dismiss(const std::string& reason, std::function<void()> told);
  bool secure() const { return plan_.tls.has_value(); }
  std::vector<std::pair<const Seat*, double>> seats() const;  // with seconds since they joined

  // What the posts of a session call.
  void enlist(const std::string& name, std::uint64_t session, Sites sites);
  /// A generator that enlists next has a gate at this port of its host.
  void relays_at(const std::string& name, std::uint64_t session, std::uint16_t port);
  /// The broadcaster's gate is there from now on: generators are told.
  void weights_at(const std::string& address);
  /// Likewise the learner's, for a broadcaster apart; empty: it has none.
  void learner_at(const std::string& address);
  void report(const std::string& name, std::uint64_t session, const SiteReport& report);
  kj::Promise<void> leave(const std::string& name, std::uint64_t session);

  // What stand-ins ask for.
  kj::Promise<void> cast(Seat& seat, Seat::Casting casting);
  kj::Promise<Rollouts> take(Seat& seat, std::uint32_t count, const RolloutIds& acknowledged);
  kj::Promise<SiteTotals> end_generator(Seat& seat);
  kj::Promise<void> join(Seat& seat, const std::string& generator_name, const Generator& generator);
  kj::Promise<void> stop_learner(Seat& seat);
  kj::Promise<Weights> learner_weights(Seat& seat, std::uint64_t at_least);
  void release(Seat& seat, std::uint64_t cast);

  /// What a learner says, to its stand-in. Errors: rejects if the session has no seat, or nothing is cast there.
  template <class... Values>
  kj::Promise<void> tell_stand_in(const std::string& name, std::uint64_t session,
                                  Values... values) {
    const auto found = seats_.find(name);
    KJ_REQUIRE(found != seats_.end() && found->second->session == session && found->second->casting,
               "nothing is cast here");
    const caf::actor stand_in = found->second->casting->stand_in;
    return in_time(
        ask<bool>(stand_in, stand_in, plan_.deadlines.request, values...).ignoreResult());
  }

  template <class T>
  kj::Promise<T> in_time(kj::Promise<T> promise) {
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), kj::mv(promise));
  }
  /// What a director says, to its stand-in, which answers.
  template <class Out, class... Values>
  kj::Promise<Out> ask_in_director(Values... values) {
    return in_time(ask<Out>(plan_.director, plan_.director, plan_.deadlines.request, values...));
  }
  void director_is_there() { caf::anon_send(plan_.director, join_atom::value); }
  wire::WeightSource::Client director_weights(const std::string& name) {
    return dispatch_.source(terms(plan_.director), caf::actor_cast<Broadcaster>(plan_.director),
                            name);
  }
  void keep(kj::Promise<void> task) { tasks_.add(kj::mv(task)); }

 private:
  wire::Granted admit(const wire::Visitor& visitor, const wire::PeerIdentity& identity,
                      wire::Hello::Reader hello);
  capnp::Capability::Client post_for(const std::string& role, const std::string& name,
                                     std::uint64_t session);
  std::uint64_t vacate(const std::string& name, std::uint64_t lease);
  void ended(const wire::Visitor& visitor, const wire::End& end);
  void give_up(const std::string& name, std::uint64_t lease, const std::string& why);
  kj::Promise<void> send_casting(Seat& seat);
  kj::Promise<void> send_generator_casting(Seat& seat, wire::GeneratorSite::Client& site);
  WeightPlace weights_of(const Seat& seat) const;
  void tell_weights(Seat& seat);
  void leave_relays(const Seat& seat);
  DeskTerms terms(const caf::actor& porter) const;
  double grace(const Seat& seat) const;
  void taskFailed(kj::Exception&& exception) override;

  const OfficePlan plan_;
  wire::Loop loop_;
  kj::Timer& timer_;
  Announce announce_;
  WeightDispatch dispatch_;
  Roster roster_;
  PeerSeries peers_;
  std::optional<WeightIntake> intake_;  // of a learner elsewhere, from its first enlistment on
  std::map<std::string, std::unique_ptr<Seat>> seats_;  // by name
  std::map<std::uint64_t, std::string> names_;          // of joined peers, by session
  kj::Own<wire::TlsContext> tls_;                       // null: plain
  std::string weights_at_;  // the broadcaster's gate; empty: in this process, or not there yet
  std::optional<RelayTree> relays_;  // of generators with a gate; none: nobody hands weights on
  std::string learner_at_;           // the learner's gate, likewise
  bool over_ = false;                // everyone was dismissed: who hangs up is not lost
  kj::TaskSet tasks_{*this};
  kj::Own<Door> door_;  // last: its callbacks use all above
};

}  // namespace troupe
