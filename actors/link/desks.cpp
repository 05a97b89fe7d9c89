#include "actors/link/desks.hpp"

#include "actors/link/codec.hpp"

#include <algorithm>

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
      .then([context](Rollouts rollouts) mutable {
        write(rollouts, context.getResults().initRollouts(static_cast<unsigned>(rollouts.size())));
      });
}

kj::Promise<void> VerdictDesk::append(AppendContext context) {
  return ask<RolloutIds>(terms_.porter, buffer_, terms_.deadline, append_atom::value,
                         read_graded(context.getParams().getGraded()))
      .then([context](RolloutIds ids) mutable {
        write(ids, context.getResults().initAcknowledged(static_cast<unsigned>(ids.size())));
      });
}

}  // namespace troupe
