#pragma once
// The part of the office that lives on the loop: sessions, seats and what they are cast for.
#include "actors/link/desks.hpp"
#include "actors/link/office.hpp"
#include "actors/link/roster.hpp"
#include "actors/link/site_report.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "messages/wire/gatekeeper.hpp"
#include "messages/wire/kj_thread.hpp"

#include <kj/async.h>
#include <kj/memory.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// One process that offered itself. `cast`, once there, is repeated to the process after a lost link.
struct Seat {
  std::string name, role, address, host;
  std::uint64_t lease = 0, session = 0, joins = 0, process_id = 0;
  bool enlisted = false;  // of this session
  kj::Maybe<wire::GeneratorSite::Client> generator;
  kj::Maybe<wire::VerifierSite::Client> verifier;
  struct Casting {
    CallSheet sheet;
    caf::actor stand_in;
    Broadcaster broadcaster;  // of a generator
    ReplayBuffer buffer;      // of a verifier
  };
  std::optional<Casting> casting;
  std::optional<SiteReport> report;
  kj::TimePoint joined = kj::origin<kj::TimePoint>();
};

/// Lives on the loop.
class FrontDesk final : private kj::TaskSet::ErrorHandler {
 public:
  using Announce =
      std::function<void(const std::string& name, const std::string& role, std::uint64_t lease)>;

  FrontDesk(wire::Loop& loop, const OfficePlan& plan, Announce announce);

  unsigned port() const { return port_number_; }
  /// The seat of this stay, if it has not been given up.
  Seat* find(const std::string& name, std::uint64_t lease);
  /// Announces everyone who is enlisted.
  void announce_all();
  void dismiss(const std::string& reason, std::function<void()> told);
  bool secure() const { return plan_.tls.has_value(); }
  std::vector<std::pair<const Seat*, double>> seats() const;  // with seconds since they joined

  // What the posts of a session call.
  void enlist(const std::string& name, std::uint64_t session,
              kj::Maybe<wire::GeneratorSite::Client> generator,
              kj::Maybe<wire::VerifierSite::Client> verifier);
  void report(const std::string& name, std::uint64_t session, const SiteReport& report);
  kj::Promise<void> leave(const std::string& name, std::uint64_t session);

  // What stand-ins ask for.
  kj::Promise<void> cast(Seat& seat, Seat::Casting casting);
  kj::Promise<Rollouts> take(Seat& seat, std::uint32_t count, const RolloutIds& acknowledged);
  kj::Promise<SiteTotals> end_generator(Seat& seat);
  kj::Promise<void> join(Seat& seat, const std::string& generator_name, const Generator& generator);
  void release(Seat& seat, std::uint64_t cast);

  template <class T>
  kj::Promise<T> in_time(kj::Promise<T> promise) {
    return timer_.timeoutAfter(wire::duration(plan_.limits.call_seconds), kj::mv(promise));
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
  DeskTerms terms(const caf::actor& porter) const;
  void taskFailed(kj::Exception&& exception) override;

  const OfficePlan plan_;
  kj::Timer& timer_;
  Announce announce_;
  WeightDispatch dispatch_;
  Roster roster_;
  std::map<std::string, std::unique_ptr<Seat>> seats_;  // by name
  std::map<std::uint64_t, std::string> names_;          // of joined peers, by session
  kj::Own<wire::TlsContext> tls_;                       // null: plain
  unsigned port_number_ = 0;
  bool over_ = false;  // everyone was dismissed: who hangs up is not lost
  kj::TaskSet tasks_{*this};
  kj::Own<wire::Gatekeeper> keeper_;  // last: its callbacks use all above
};

}  // namespace troupe
