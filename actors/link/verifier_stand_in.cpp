#include "actors/link/verifier_stand_in.hpp"

#include "actors/errors.hpp"

#include <utility>

namespace troupe {

void VerifierStandInState::begin(Self self, VerifierStandInPlan plan, const ReplayBuffer& buffer) {
  self_ = self;
  plan_ = std::move(plan);
  plan_.seat->begin(plan_.sheet, self_, buffer,
                    {self_, [this](const caf::expected<caf::unit_t>& begun) { settle(begun); }});
}

void VerifierStandInState::join(const std::string& generator_name, const Generator& generator) {
  plan_.seat->join(generator_name, generator,
                   {self_, [this](const caf::expected<caf::unit_t>& joined) { settle(joined); }});
}

void VerifierStandInState::settle(const caf::expected<caf::unit_t>& result) {
  if (result) return;
  if (code_of(result.error()) == Errc::link_busy) return self_->quit(result.error());
  lost(describe(result.error()));
}

void VerifierStandInState::lost(const std::string& reason) {
  self_->quit(make_error(Errc::link_lost, reason));
}

caf::behavior verifier_stand_in(VerifierStandInState::Self self, VerifierStandInPlan plan,
                                ReplayBuffer buffer) {
  auto& state = self->state;
  self->attach_functor([seat = plan.seat, cast = plan.sheet.cast] { seat->release(cast); });
  state.begin(self, std::move(plan), buffer);
  return {
      errand_handler(self),
      [&state](join_atom, const std::string& generator_name, const Generator& generator) {
        state.join(generator_name, generator);
      },
      [self](leave_atom) { self->quit(); },
      [&state](lost_atom, const std::string& reason) { state.lost(reason); },
  };
}

}  // namespace troupe
