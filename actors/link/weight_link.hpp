#pragma once
// The way to the gate of another process that has weights (weight_gate.hpp).
#include "actors/link/membership.hpp"
#include "actors/link/weight_intake.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/remote.hpp"
#include "messages/wire/roles.capnp.h"

#include <cstdint>
#include <functional>
#include <kj/async.h>
#include <kj/memory.h>
#include <string>

namespace troupe {

/// Where a process takes weights. No address: from the process with the gate that all join at.
struct WeightPlace {
  std::string address{};    // "host:port" of a gate that has weights
  std::string generator{};  // whose gate it is; empty: that of the link's role
  bool operator==(const WeightPlace&) const = default;
};

/// Lives on the loop.
class WeightLink {
 public:
  struct Events {
    std::function<std::string()> run_id;  // of the run that this process has joined
    std::function<void()> attached;       // a source is there from now on
  };

  /// `role`: whose gate it is. `tls`: null: plain. It and `plan` must outlive this.
  WeightLink(wire::Loop& loop, const MemberPlan& plan, std::string role, wire::TlsContext* tls,
             Events events);

  /// Dials for ever, since only the director's word counts on who belongs to the run. The same place again changes
  /// nothing; without an address it hangs up.
  void dial(const WeightPlace& place);

  /// Fetches from the other end of the link; or from `fallback`, where nobody is dialled, the link has been away for
  /// limits.silence_seconds, or the other end did not answer in time a while ago. What another generator gave is only taken if the
  /// `fallback` knows it by the same digests. Errors: as WeightIntake; rejects with DISCONNECTED where neither is there.
  kj::Promise<Weights> fetch(WeightIntake& intake, std::uint64_t at_least,
                             kj::Maybe<wire::WeightSource::Client>& fallback);

 private:
  using Known = kj::Promise<capnp::Response<wire::WeightSource::DigestResults>>;
  Known asked_of(kj::Maybe<wire::WeightSource::Client>& witness, std::uint64_t version);
  Weights vouched(const WeightPlace& place, WeightIntake& intake, const Weights& got,
                  std::uint64_t at_least, wire::WeightSource::DigestResults::Reader known);
  Weights behind(const WeightPlace& place, bool there_is);
  void doubt(const WeightPlace& place, std::uint64_t version, const char* why);
  void pass_over(const WeightPlace& place, kj::Duration period);
  bool waits_for_link() const;
  std::string source_name() const;
  wire::Dial way() const;
  void say(const char* what, const std::string& why);

  kj::Network& network_;
  kj::Timer& timer_;
  const MemberPlan& plan_;
  const std::string role_;
  wire::TlsContext* const tls_;
  const Events events_;
  WeightPlace place_;
  kj::Maybe<wire::WeightSource::Client> source_;  // null: the link is away
  kj::TimePoint away_since_ = kj::origin<kj::TimePoint>();
  kj::TimePoint passed_over_until_ =
      kj::origin<kj::TimePoint>();  // it is there, and gave nothing in time or nothing good
  kj::Maybe<kj::TimePoint> behind_since_ = nullptr;  // it has nothing newer, though there is
  bool skipped_ = false;                             // the next version comes from the fallback
  bool bypassed_ = false;                            // said that the fallback is used
  kj::Maybe<kj::Own<wire::Remote>> remote_;
};

}  // namespace troupe
