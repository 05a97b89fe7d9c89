#include "actors/link/front_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/codec.hpp"
#include "actors/link/posts.hpp"
#include "messages/wire/network.hpp"

#include <caf/send.hpp>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
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
      timer_(loop.timer),
      announce_(std::move(announce)),
      dispatch_(loop, plan_.weights, *plan_.telemetry),
      roster_(random_lease()) {
  auto port = wire::listen(loop.io.getNetwork(), plan_.listen);
  port_number_ = port->getPort();
  wire::Gatekeeper::Events events{
      [this](const wire::Visitor& visitor) {
        return wire::make_gate(
            plan_.terms, visitor.identity,
            [this, visitor](const wire::PeerIdentity& identity, wire::Hello::Reader hello) {
              return kj::Promise<wire::Granted>(admit(visitor, identity, hello));
            });
      },
      [this](const wire::Visitor& visitor, const wire::End& end) { ended(visitor, end); },
      [this](const std::string& address, wire::Refusal refusal, const std::string& text) {
        plan_.telemetry->metrics()
            .counter("troupe_link_refused_total", wire::to_string(refusal))
            .Increment();
        plan_.telemetry->event(
            "link_refused", address + ": " + std::string(wire::to_string(refusal)) + ": " + text);
      }};
  if (plan_.tls) {
    tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
    keeper_ = kj::heap<wire::Gatekeeper>(kj::mv(port), *tls_, timer_, plan_.limits, kj::mv(events));
  } else {
    keeper_ = kj::heap<wire::Gatekeeper>(wire::Gatekeeper::Insecure{}, kj::mv(port), timer_,
                                         plan_.limits, kj::mv(events));
  }
}

wire::Granted FrontDesk::admit(const wire::Visitor& visitor, const wire::PeerIdentity& identity,
                               wire::Hello::Reader hello) {
  const std::string& name = identity.name;
  if (identity.role == "observer")
    return {1, kj::heap<ObserverPostDesk>(*this, *plan_.telemetry, plan_.terms.run_id)};
  if (identity.role != "generator" && identity.role != "verifier")
    wire::refuse_join(wire::JoinRefusal::role_mismatch,
                      "the role " + identity.role + " has no place here");
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
  seat->generator = nullptr;
  seat->verifier = nullptr;
  seat->joined = timer_.now();
  if (seat->joins++ > 0)
    plan_.telemetry->metrics().counter("troupe_link_reconnects_total", name).Increment();
  plan_.telemetry->metrics().gauge("troupe_link_peer_connected", name).Set(1);
  names_[visitor.session] = name;
  if (const std::uint64_t old = decision.replaced.value_or(vacated))
    keeper_->close(old, name + " joined again");
  plan_.telemetry->event("joined",
                         name + " (" + identity.role + ") from " + visitor.address +
                             (decision.entry == Roster::Entry::resumed ? ", resumed" : ""));
  return {decision.lease, post_for(identity.role, name, visitor.session)};
}

/// A verifier goes on with nothing after a lost link, even if the end of it was not noticed here: its stay ends, and what
/// it held goes to others. Returns the session of that stay, if it is open.
std::uint64_t FrontDesk::vacate(const std::string& name, std::uint64_t lease) {
  const Seat* seat = find(name, lease);
  if (seat == nullptr || seat->role != "verifier") return 0;
  const std::uint64_t session = seat->session;
  roster_.away(name, session);
  roster_.give_up(name, lease);
  give_up(name, lease, "it joined again");
  return session;
}

capnp::Capability::Client FrontDesk::post_for(const std::string& role, const std::string& name,
                                              std::uint64_t session) {
  if (role == "generator") return kj::heap<GeneratorPostDesk>(*this, name, session);
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

void FrontDesk::enlist(const std::string& name, std::uint64_t session,
                       kj::Maybe<wire::GeneratorSite::Client> generator,
                       kj::Maybe<wire::VerifierSite::Client> verifier) {
  const auto found = seats_.find(name);
  KJ_REQUIRE(found != seats_.end() && found->second->session == session,
             "this session has no seat any more");
  Seat& seat = *found->second;
  seat.generator = kj::mv(generator);
  seat.verifier = kj::mv(verifier);
  seat.enlisted = true;
  if (!seat.casting) return announce_(seat.name, seat.role, seat.lease);
  const caf::actor stand_in = seat.casting->stand_in;
  keep(send_casting(seat).then([stand_in] { caf::anon_send(stand_in, attached_atom::value); }));
}

void FrontDesk::report(const std::string& name, std::uint64_t session, const SiteReport& report) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->session != session) return;
  found->second->report = report;
  if (found->second->casting)
    plan_.telemetry->activity(name).report({report.busy_seconds, report.idle_seconds});
}

kj::Promise<void> FrontDesk::leave(const std::string& name, std::uint64_t session) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->session != session || !found->second->casting)
    return kj::READY_NOW;
  const caf::actor stand_in = found->second->casting->stand_in;
  return in_time(
      ask<bool>(stand_in, stand_in, plan_.deadlines.request, leave_atom::value).ignoreResult());
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
  seat.session = 0;
  seat.enlisted = false;
  seat.generator = nullptr;
  seat.verifier = nullptr;
  const std::string why =
      std::string(wire::to_string(end.reason)) + (end.text.empty() ? "" : ": " + end.text);
  plan_.telemetry->metrics().gauge("troupe_link_peer_connected", name).Set(0);
  if (!over_) plan_.telemetry->event("link_lost", name + " is away: " + why);
  const double grace = seat.role == "generator" && seat.casting ? plan_.lease_seconds : 0;
  const std::uint64_t lease = seat.lease;
  keep(timer_.afterDelay(wire::duration(grace)).then([this, name, lease, why] {
    if (roster_.give_up(name, lease)) give_up(name, lease, why);
  }));
}

/// The stay is over: its stand-in ends, so that what it held goes to others.
void FrontDesk::give_up(const std::string& name, std::uint64_t lease, const std::string& why) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || found->second->lease != lease) return;
  if (found->second->casting)
    caf::anon_send(found->second->casting->stand_in, lost_atom::value, why);
  seats_.erase(found);
}

DeskTerms FrontDesk::terms(const caf::actor& porter) const {
  return {porter, plan_.deadlines.request, plan_.rollouts_at_once};
}

kj::Promise<void> FrontDesk::cast(Seat& seat, Seat::Casting casting) {
  seat.casting = std::move(casting);
  return send_casting(seat);
}

kj::Promise<void> FrontDesk::send_casting(Seat& seat) {
  const Seat::Casting& casting = *seat.casting;
  const auto write_sheet = [&](wire::CallSheet::Builder sheet) {
    sheet.setCast(casting.sheet.cast);
    sheet.setStage(casting.sheet.stage);
  };
  KJ_IF_MAYBE (site, seat.generator) {
    auto request = site->beginRequest();
    write_sheet(request.initSheet());
    request.setTickets(kj::heap<TicketDesk>(terms(casting.stand_in)));
    request.setWeights(dispatch_.source(terms(casting.stand_in), casting.broadcaster, seat.name));
    return in_time(request.send().ignoreResult());
  }
  KJ_IF_MAYBE (site, seat.verifier) {
    auto request = site->beginRequest();
    write_sheet(request.initSheet());
    request.setVerdicts(kj::heap<VerdictDesk>(terms(casting.stand_in), casting.buffer));
    return in_time(request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<Rollouts> FrontDesk::take(Seat& seat, std::uint32_t count,
                                      const RolloutIds& acknowledged) {
  KJ_IF_MAYBE (site, seat.generator) {
    auto request = site->takeRequest();
    request.setCount(count);
    write(acknowledged, request.initAcknowledged(static_cast<unsigned>(acknowledged.size())));
    return in_time(rollouts_of(request.send()));
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

kj::Promise<SiteTotals> FrontDesk::end_generator(Seat& seat) {
  KJ_IF_MAYBE (site, seat.generator) {
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
  KJ_IF_MAYBE (site, seat.verifier) {
    auto request = site->joinRequest();
    request.setGenerator(generator_name);
    request.setSource(kj::heap<RolloutDesk>(terms(seat.casting->stand_in), generator));
    return in_time(request.send().ignoreResult());
  }
  return KJ_EXCEPTION(DISCONNECTED, "the process is away");
}

void FrontDesk::release(Seat& seat, std::uint64_t cast) {
  if (!seat.casting || seat.casting->sheet.cast != cast) return;
  seat.casting.reset();
  KJ_IF_MAYBE (site, seat.generator)
    keep(in_time(site->endRequest().send().ignoreResult()).catch_([](kj::Exception&&) {
    }));  // gone: nothing to end
  KJ_IF_MAYBE (site, seat.verifier)
    keep(in_time(site->endRequest().send().ignoreResult()).catch_([](kj::Exception&&) {}));
}

void FrontDesk::dismiss(const std::string& reason, std::function<void()> told) {
  over_ = true;
  auto all = kj::heapArrayBuilder<kj::Promise<void>>(seats_.size());
  for (const auto& [name, seat] : seats_) {
    kj::Promise<void> one = kj::READY_NOW;
    KJ_IF_MAYBE (site, seat->generator) {
      auto request = site->dismissRequest();
      request.setReason(reason);
      one = request.send().ignoreResult();
    }
    KJ_IF_MAYBE (site, seat->verifier) {
      auto request = site->dismissRequest();
      request.setReason(reason);
      one = request.send().ignoreResult();
    }
    all.add(one.catch_([](kj::Exception&&) {}));  // who is gone needs no word
  }
  keep(kj::joinPromises(all.finish()).then([told] { told(); }));
}

void FrontDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
