#include "actors/link/verifier_proxies.hpp"

#include <caf/typed_response_promise.hpp>

namespace troupe {
namespace {

template <class T>
auto deliver_to(caf::typed_response_promise<T> promise) {
  return [promise](const caf::expected<T>& result) mutable {
    if (result)
      promise.deliver(*result);
    else
      promise.deliver(result.error());
  };
}

}  // namespace

caf::behavior verdict_proxy(caf::event_based_actor* self, std::shared_ptr<VerdictWay> way) {
  return {errand_handler(self),
          [self, way](append_atom, const GradedRollouts& graded) -> caf::result<RolloutIds> {
            auto promise = self->make_response_promise<RolloutIds>();
            way->append(graded, {self, deliver_to(promise)});
            return promise;
          }};
}

caf::behavior rollout_proxy(caf::event_based_actor* self, std::shared_ptr<RolloutWay> way) {
  return {errand_handler(self),
          [self, way](take_atom, std::uint32_t count,
                      const RolloutIds& acknowledged) -> caf::result<Rollouts> {
            auto promise = self->make_response_promise<Rollouts>();
            way->take(count, acknowledged, {self, deliver_to(promise)});
            return promise;
          }};
}

}  // namespace troupe
