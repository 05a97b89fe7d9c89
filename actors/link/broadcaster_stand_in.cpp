#include "actors/link/broadcaster_stand_in.hpp"

#include "actors/errors.hpp"

namespace troupe {

caf::behavior broadcaster_stand_in(caf::stateful_actor<BroadcasterStandInState>* self,
                                   const BroadcasterStandInPlan& plan,
                                   const Broadcaster& broadcaster) {
  self->attach_functor([seat = plan.seat, cast = plan.sheet.cast] { seat->release(cast); });
  plan.seat->begin(plan.sheet, self, broadcaster,
                   {self, [self](const caf::expected<caf::unit_t>& begun) {
                      if (!begun) self->quit(begun.error());
                    }});
  return {
      errand_handler(self),
      [self](lost_atom, const std::string& reason) {
        self->quit(make_error(Errc::link_lost, reason));
      },
  };
}

}  // namespace troupe
