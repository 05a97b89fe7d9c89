#include "actors/link/front_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/batch_desk.hpp"
#include "actors/link/codec.hpp"
#include "actors/link/posts.hpp"
#include "messages/wire/network.hpp"

#include <caf/send.hpp>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <random>
#include <utility>

namespace troupe {
namespace {

std::uint64_t random_lease() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | 1;  // room for four billion stays
}

kj::Promise<Rollouts> rollouts_of(
    kj::Promise<capnp::Response<wire::GeneratorSite::TakeResults>> response) {
  return response.then([](auto&& results) { return read_rollouts(results.getRollouts()); });
}

}  // namespace

FrontDesk::FrontDesk(wire::Loop& loop, const OfficePlan& plan, Announce announce)
    : plan_(plan),
      loop_(loop),
      timer_(loop.timer),
      announce_(std::move(announce)),
      dispatch_(loop, plan_.weights, *plan_.telemetry),
      roster_(random_lease()),
      peers_(*plan_.telemetry) {
  if (plan_.relay_fan_out > 0) relays_.emplace(plan_.relay_fan_out, std::vector<RelayReceiver>());
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  Door::Events guests;
  guests.grant = [this](const wire::Visitor& visitor) {
    return wire::make_gate(
        plan_.terms, visitor.identity,
        [this, visitor](const wire::PeerIdentity& identity, wire::Hello::Reader hello) {
          return kj::Promise<wire::Granted>(admit(visitor, identity, hello));
        });
  };
  guests.ended = [this](const wire::Visitor& visitor, const wire::End& end) {
    ended(visitor, end);
  };
  door_ = kj::heap<Door>(loop, DoorPlan{plan_.listen, plan_.limits, plan_.telemetry}, tls_.get(),
                         guests);
}

wire::Granted FrontDesk::admit(const wire::Visitor& visitor, const wire::PeerIdentity& identity,
                               wire::Hello::Reader hello) {
  const std::string& name = identity.name;
  if (identity.role == "observer")
    return {1, kj::heap<ObserverPostDesk>(*this, *plan_.telemetry, plan_.terms.run_id)};
  const bool expected = identity.role == "generator" || identity.role == "verifier" ||
                        (identity.role == "broadcaster" && plan_.broadcaster_apart) ||
                        (identity.role == "learner" && plan_.learner_apart) ||
                        (identity.role == "director" && plan_.director);
  if (!expected)
    wire::refuse_join(wire::JoinRefusal::role_mismatch,
                      "the role " + identity.role + " has no place here" +
                          (identity.role == "broadcaster" || identity.role == "learner"
                               ? ": network." + identity.role +
                                     " of this config says that it is "
                                     "in this process"
                               : ""));
  const std::uint64_t vacated = vacate(name, hello.getLease());
  const Roster::Decision decision =
      roster_.join(name, identity.role, visitor.session, hello.getLease());
  if (decision.entry == Roster::Entry::name_taken)
    wire::refuse_join(wire::JoinRefusal::name_taken, name + " is here already; names must differ");
  if (decision.gave_up)
    give_up(name, seats_.at(name)->lease, "another process of this name joined");
  if (decision.fenced) {
    plan_.telemetry->metrics().counter("troupe_link_fenced_total").Increment();
    plan_.telemetry->event("fenced",
                           name + " came back after its lease had ended: what it had is not taken");
  }
  auto& seat = seats_[name];
  if (!seat) seat = std::make_unique<Seat>();
  seat->name = name;
  seat->role = identity.role;
  seat->address = visitor.address;
  seat->host = hello.getHost();
  seat->process_id = hello.getProcessId();
  seat->lease = decision.lease;
  seat->session = visitor.session;
  seat->enlisted = false;
  leave_relays(*seat);
  seat->sites = {};
  seat->left = false;
  seat->joined = timer_.now();
  seat->joins = peers_.joined(name);
  names_[visitor.session] = name;
  if (const std::uint64_t old = decision.replaced.value_or(vacated))
    door_->close(old, name + " joined again");
  plan_.telemetry->event("joined",
                         name + " (" + identity.role + ") from " + visitor.address +
                             (decision.entry == Roster::Entry::resumed ? ", resumed" : ""));
  return {decision.lease, post_for(identity.role, name, visitor.session)};
}

/// Verifiers and broadcasters go on with nothing after a lost link, even if the end of it was not noticed here: the stay ends, and
/// what it held goes to others. Returns the session of that stay, if it is open.
std::uint64_t FrontDesk::vacate(const std::string& name, std::uint64_t lease) {
  const Seat* seat = find(name, lease);
  if (seat == nullptr || grace(*seat) > 0) return 0;
  const std::uint64_t session = seat->session;
  roster_.away(name, session);
  roster_.give_up(name, lease);
  give_up(name, lease, "it joined again");
  return session;
}

capnp::Capability::Client FrontDesk::post_for(const std::string& role, const std::string& name,
                                              std::uint64_t session) {
  if (role == "generator") return kj::heap<GeneratorPostDesk>(*this, name, session);
  if (role == "broadcaster") return kj::heap<BroadcasterPostDesk>(*this, name, session);
  if (role == "learner") return kj::heap<LearnerPostDesk>(*this, name, session);
  if (role == "director") return kj::heap<DirectorPostDesk>(*this, *plan_.telemetry, name, session);
  return kj::heap<VerifierPostDesk>(*this, name, session);
}

Seat* FrontDesk::find(const std::string& name, std::uint64_t lease) {
  const auto found = seats_.find(name);
  return found != seats_.end() && found->second->lease == lease ? found->second.get() : nullptr;
}

std::vector<std::pair<const Seat*, double>> FrontDesk::seats() const {
  std::vector<std::pair<const Seat*, double>> all;
  for (const auto& [name, seat] : seats_)
    all.emplace_back(seat.get(),
                     static_cast<double>((timer_.now() - seat->joined) / kj::MILLISECONDS) / 1e3);
  return all;
}

void FrontDesk::enlist(const std::string& name, std::uint64_t session, Sites sites) {
  const auto found = seats_.find(name);
  KJ_REQUIRE(found != seats_.end() && found->second->session == session,
             "this session has no seat any more");
  Seat& seat = *found->second;
  seat.sites = kj::mv(sites);
  seat.enlisted = true;
  if (!seat.casting) return announce_(seat.name, seat.role, seat.lease);
  const caf::actor stand_in = seat.casting->stand_in;
  keep(send_casting(seat).then([stand_in] { caf::anon_send(stand_in, attached_atom::value); }));
}

void FrontDesk::weights_at(const std::string& address) {
  wire::parse_address(address);  // throws at the peer if it is none
  weights_at_ = address;
  for (const auto& [name, seat] : seats_) tell_weights(*seat);
}

/// Who takes a place in the tree moves nobody else.
void FrontDesk::relays_at(const std::string& name, std::uint64_t session, std::uint16_t port) {
  const auto found = seats_.find(name);
  if (!relays_ || port == 0 || found == seats_.end() || found->second->session != session) return;
  Seat& seat = *found->second;
  leave_relays(seat);
  seat.gate = wire::with_port(seat.address, port);
  relays_->join({name, seat.host, 0});
}

void FrontDesk::leave_relays(const Seat& seat) {
  if (!relays_ || !relays_->contains(seat.name)) return;
  for (const std::string& moved : relays_->leave(seat.name)) {
    const auto found = seats_.find(moved);
    if (found != seats_.end()) tell_weights(*found->second);
  }
}

WeightPlace FrontDesk::weights_of(const Seat& seat) const {
  if (relays_ && relays_->contains(seat.name)) {
    const std::string source = relays_->source(seat.name);
    const auto found = seats_.find(source);
    if (found != seats_.end()) return {found->second->gate, source};
  }
  return {weights_at_};
}

/// What it knows already changes nothing there.
void FrontDesk::tell_weights(Seat& seat) {
  KJ_IF_MAYBE (site, seat.sites.generator) {
    const WeightPlace place = weights_of(seat);
    auto request = site->weightsAtRequest();
    request.setAddress(place.address);
    request.setRelay(place.generator);
    keep(in_time(request.send().ignoreResult()).catch_([](kj::Exception&&) {
    }));  // gone: told with its next casting
  }
}

void FrontDesk::learner_at(const std::string& address) {
  if (!address.empty()) wire::parse_address(address);  // throws at the peer if it is none
  learner_at_ = address;
  for (const auto& [name, seat] : seats_) {
    KJ_IF_MAYBE (site, seat->sites.broadcaster) {
      auto request = site->weightsAtRequest();
      request.setAddress(address);
      keep(in_time(request.send().ignoreResult()).catch_([](kj::Exception&&) {
      }));  // gone: told with its next casting
    }
  }
}

void FrontDesk::report(const std::string& name, std::uint64_t session, const SiteReport& report) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->session != session) return;
  found->second->report = report;
  if (!found->second->casting) return;
  plan_.telemetry->peer_says(
      {name, report.phase, {report.busy_seconds, report.idle_seconds}, report.version});
}

kj::Promise<void> FrontDesk::leave(const std::string& name, std::uint64_t session) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->session != session) return kj::READY_NOW;
  found->second->left = found->second->role == "verifier" || !found->second->casting;
  if (!found->second->casting) return kj::READY_NOW;
  const caf::actor stand_in = found->second->casting->stand_in;
  if (found->second->left) {
    caf::anon_send(stand_in, leave_atom::value);
    return kj::READY_NOW;
  }
  return in_time(ask<bool>(stand_in, stand_in, plan_.deadlines.request, leave_atom::value))
      .then([this, name, session](bool) {
        const auto seat = seats_.find(name);
        if (seat != seats_.end() && seat->second->session == session) seat->second->left = true;
      });
}

void FrontDesk::announce_all() {
  for (const auto& [name, seat] : seats_)
    if (seat->enlisted) announce_(name, seat->role, seat->lease);
}

void FrontDesk::ended(const wire::Visitor& visitor, const wire::End& end) {
  const auto known = names_.find(visitor.session);
  if (known == names_.end()) return;  // it never joined
  const std::string name = known->second;
  names_.erase(known);
  plan_.telemetry->metrics()
      .counter("troupe_link_closed_total", wire::to_string(end.reason))
      .Increment();
  if (!roster_.away(name, visitor.session)) return;  // replaced by a newer connection
  Seat& seat = *seats_.at(name);
  leave_relays(seat);
  seat.session = 0;
  seat.enlisted = false;
  seat.sites = {};
  const std::string why =
      std::string(wire::to_string(end.reason)) + (end.text.empty() ? "" : ": " + end.text);
  peers_.away(name);
  if (!over_) plan_.telemetry->event("link_lost", name + " is away: " + why);
  const double patience = seat.casting && !seat.left ? grace(seat) : 0;
  const std::uint64_t lease = seat.lease;
  keep(timer_.afterDelay(wire::duration(patience)).then([this, name, lease, why] {
    if (roster_.give_up(name, lease)) give_up(name, lease, why);
  }));
}

/// How long a role's link may be away in the middle of a casting.
double FrontDesk::grace(const Seat& seat) const {
  if (seat.role == "generator") return plan_.lease_seconds;
  return seat.role == "learner" ? plan_.learner_lease_seconds : 0;
}

/// The stay is over: its stand-in ends, so that what it held goes to others.
void FrontDesk::give_up(const std::string& name, std::uint64_t lease, const std::string& why) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->lease != lease) return;
  if (found->second->casting)
    caf::anon_send(found->second->casting->stand_in, lost_atom::value, why);
  leave_relays(*found->second);
  if (found->second->left) peers_.left(name);  // a pod's name does not come again
  seats_.erase(found);
}

DeskTerms FrontDesk::terms(const caf::actor& porter) const {
  return {porter, plan_.deadlines.request, plan_.rollouts_at_once};
}

kj::Promise<void> FrontDesk::cast(Seat& seat, Seat::Casting casting) {
  seat.casting = std::move(casting);
  seat.lent = std::make_shared<Lent>();
  return send_casting(seat);
}

kj::Promise<void> FrontDesk::send_generator_casting(Seat& seat, wire::GeneratorSite::Client& site) {
  const Seat::Casting& casting = *seat.casting;
  auto request = site.beginRequest();
  write(casting.sheet, request.initSheet());
  request.setTickets(kj::heap<TicketDesk>(terms(casting.stand_in)));
  const WeightPlace place = weights_of(seat);
  request.setWeightsAt(place.address);
  request.setRelay(place.generator);
  request.setWeights(dispatch_.source(terms(casting.stand_in), casting.broadcaster, seat.name));
  return in_time(request.send().ignoreResult());
}

kj::Promise<void> FrontDesk::send_casting(Seat& seat) {
  const Seat::Casting& casting = *seat.casting;
  KJ_IF_MAYBE (site, seat.sites.generator) return send_generator_casting(seat, *site);
  KJ_IF_MAYBE (site, seat.sites.verifier) {
    auto request = site->beginRequest();
    write(casting.sheet, request.initSheet());
    request.setVerdicts(kj::heap<VerdictDesk>(terms(casting.stand_in), casting.buffer, seat.lent,
                                              *plan_.telemetry));
    return in_time(request.send().ignoreResult());
  }
  KJ_IF_MAYBE (site, seat.sites.broadcaster) {
    auto request = site->beginRequest();
    write(casting.sheet, request.initSheet());
    request.setWeights(dispatch_.source(terms(casting.stand_in), casting.broadcaster, seat.name));
    request.setWeightsAt(learner_at_);
    return in_time(request.send().ignoreResult());
  }
  KJ_IF_MAYBE (site, seat.sites.learner) {
    auto request = site->beginRequest();
    write(casting.sheet, request.initSheet());
    if (!intake_)
      intake_.emplace(loop_, plan_.weights, plan_.limits.call_seconds, plan_.deadlines,
                      casting.stand_in->home_system(), *plan_.telemetry);
    if (casting.buffer) request.setBatches(kj::heap<BatchDesk>(terms(casting.stand_in)));
    return in_time(request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<void> FrontDesk::stop_learner(Seat& seat) {
  KJ_IF_MAYBE (site, seat.sites.learner) return in_time(site->stopRequest().send().ignoreResult());
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<Weights> FrontDesk::learner_weights(Seat& seat, std::uint64_t at_least) {
  KJ_REQUIRE(intake_.has_value(), "nothing is cast here");
  KJ_IF_MAYBE (source, seat.sites.learner_weights) {
    return intake_->fetch(*source, at_least).then([this](Weights weights) {
      if (weights) dispatch_.note(weights);
      return weights;
    });
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<Rollouts> FrontDesk::take(Seat& seat, std::uint32_t count,
                                      const RolloutIds& acknowledged) {
  KJ_IF_MAYBE (site, seat.sites.generator) {
    auto request = site->takeRequest();
    request.setCount(count);
    write(acknowledged, request.initAcknowledged(static_cast<unsigned>(acknowledged.size())));
    return in_time(rollouts_of(request.send()));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<SiteTotals> FrontDesk::end_generator(Seat& seat) {
  KJ_IF_MAYBE (site, seat.sites.generator) {
    return in_time(site->endRequest().send().then([](auto&& results) {
      SiteTotals totals;
      totals.generated = {results.getSampledTokens(), results.getPromptTokens(),
                          results.getRollouts()};
      totals.time = {results.getBusySeconds(), results.getIdleSeconds()};
      return totals;
    }));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<void> FrontDesk::join(Seat& seat, const std::string& generator_name,
                                  const Generator& generator) {
  KJ_IF_MAYBE (site, seat.sites.verifier) {
    auto request = site->joinRequest();
    request.setGenerator(generator_name);
    request.setSource(
        kj::heap<RolloutDesk>(terms(seat.casting->stand_in), generator, seat.lent, seat.sources++));
    return in_time(request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

void FrontDesk::release(Seat& seat, std::uint64_t cast) {
  if (!seat.casting || seat.casting->sheet.cast != cast) return;
  seat.casting.reset();
  const auto end = [this](auto& site) {
    keep(in_time(site.endRequest().send().ignoreResult()).catch_([](kj::Exception&&) {
    }));  // gone: nothing to end
  };
  KJ_IF_MAYBE (site, seat.sites.generator) end(*site);
  KJ_IF_MAYBE (site, seat.sites.verifier) end(*site);
  KJ_IF_MAYBE (site, seat.sites.broadcaster) end(*site);
  KJ_IF_MAYBE (site, seat.sites.learner)
    keep(in_time(site->stopRequest().send().ignoreResult()).catch_([](kj::Exception&&) {}));
}

void FrontDesk::dismiss(const std::string& reason, std::function<void()> told) {
  over_ = true;
  dispatch_.close();
  if (intake_) intake_->close();
  auto all = kj::heapArrayBuilder<kj::Promise<void>>(seats_.size());
  for (const auto& [name, seat] : seats_) {
    kj::Promise<void> one = kj::READY_NOW;
    const auto dismiss = [&](auto& site) {
      auto request = site.dismissRequest();
      request.setReason(reason);
      one = request.send().ignoreResult();
    };
    KJ_IF_MAYBE (site, seat->sites.generator) dismiss(*site);
    KJ_IF_MAYBE (site, seat->sites.verifier) dismiss(*site);
    KJ_IF_MAYBE (site, seat->sites.broadcaster) dismiss(*site);
    KJ_IF_MAYBE (site, seat->sites.learner) dismiss(*site);
    all.add(one.catch_([](kj::Exception&&) {}));  // who is gone needs no word
  }
  keep(kj::joinPromises(all.finish()).then([told] { told(); }));
}

void FrontDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
