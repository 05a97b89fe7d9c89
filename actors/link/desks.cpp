#include "actors/link/desks.hpp"

#include "actors/link/codec.hpp"

#include <algorithm>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {

kj::Promise<void> TicketDesk::grant(GrantContext context) {
  const auto params = context.getParams();
  return ask<Tickets>(terms_.porter, terms_.porter, terms_.deadline, grant_atom::value,
                      params.getSequence(), params.getCount())
      .then([context](Tickets tickets) mutable {
        write(tickets, context.getResults().initTickets(static_cast<unsigned>(tickets.size())));
      });
}

kj::Promise<void> TicketDesk::notice(NoticeContext context) {
  return ask<bool>(terms_.porter, terms_.porter, terms_.deadline, notice_atom::value,
                   read_notices(context.getParams().getNotices()))
      .ignoreResult();
}

kj::Promise<void> RolloutDesk::take(TakeContext context) {
  const auto params = context.getParams();
  return ask<Rollouts>(terms_.porter, generator_, terms_.deadline, take_atom::value,
                       std::min(params.getCount(), terms_.rollouts_at_once),
                       read_ids(params.getAcknowledged()))
      .then([context, lent = lent_, source = source_](Rollouts rollouts) mutable {
        lent->lend(source, rollouts);
        write(rollouts, context.getResults().initRollouts(static_cast<unsigned>(rollouts.size())));
      });
}

kj::Promise<void> VerdictDesk::append(AppendContext context) {
  GradedRollouts own;
  for (const GradedRollout& graded : read_graded(context.getParams().getGraded())) {
    if (auto settled = lent_->settle(graded))
      own.push_back(std::move(*settled));
    else
      telemetry_.metrics().counter("troupe_actor_dropped_messages_total", "not_lent").Increment();
  }
  return ask<RolloutIds>(terms_.porter, buffer_, terms_.deadline, append_atom::value, own)
      .then([context](RolloutIds ids) mutable {
        write(ids, context.getResults().initAcknowledged(static_cast<unsigned>(ids.size())));
      });
}

}  // namespace troupe
