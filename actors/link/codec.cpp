#include "actors/link/codec.hpp"

#include <kj/debug.h>

namespace troupe {

Tickets read_tickets(capnp::List<wire::Ticket>::Reader list) {
  Tickets tickets;
  for (const auto ticket : list) tickets.push_back(Ticket::copy(ticket));
  return tickets;
}

Rollouts read_rollouts(capnp::List<wire::Rollout>::Reader list) {
  Rollouts rollouts;
  for (const auto rollout : list) rollouts.push_back(Rollout::copy(rollout));
  return rollouts;
}

GradedRollouts read_graded(capnp::List<wire::GradedRollout>::Reader list) {
  GradedRollouts graded;
  for (const auto one : list) {
    KJ_REQUIRE(one.getVerdict().getRollout() == one.getRollout().getId(),
               "a verdict of another rollout");
    graded.push_back({Rollout::copy(one.getRollout()), Verdict::copy(one.getVerdict())});
  }
  return graded;
}

RolloutIds read_ids(capnp::List<std::uint64_t>::Reader list) {
  RolloutIds ids;
  for (const std::uint64_t id : list) ids.push_back(id);
  return ids;
}

RolloutNotices read_notices(capnp::List<wire::RolloutNotice>::Reader list) {
  RolloutNotices notices;
  for (const auto notice : list) {
    RolloutNotice& one = notices.emplace_back(RolloutNotice{notice.getTicket(), notice.getIndex(),
                                                            notice.getAttempt(), notice.getTokens(),
                                                            notice.getAbandoned()});
    if (!notice.hasPart()) continue;
    one.part = PartialRollout::copy(notice.getPart());
    const auto part = one.part.read();
    KJ_REQUIRE(
        !one.abandoned && part.getIndex() == one.index && part.getTokens().size() == one.tokens,
        "a part that is not what the notice says", one.ticket, one.index);
  }
  return notices;
}

void write(const Tickets& tickets, capnp::List<wire::Ticket>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) list.setWithCaveats(i, tickets[i].read());
}

void write(const Rollouts& rollouts, capnp::List<wire::Rollout>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) list.setWithCaveats(i, rollouts[i].read());
}

void write(const GradedRollouts& graded, capnp::List<wire::GradedRollout>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setRollout(graded[i].rollout.read());
    list[i].setVerdict(graded[i].verdict.read());
  }
}

void write(const RolloutIds& ids, capnp::List<std::uint64_t>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, ids[i]);
}

void write(const RolloutNotices& notices, capnp::List<wire::RolloutNotice>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setTicket(notices[i].ticket);
    list[i].setIndex(notices[i].index);
    list[i].setAttempt(notices[i].attempt);
    list[i].setTokens(notices[i].tokens);
    list[i].setAbandoned(notices[i].abandoned);
    if (notices[i].part) list[i].setPart(notices[i].part.read());
  }
}

}  // namespace troupe
