#include "actors/link/shipment.hpp"

#include "messages/weight_delta.hpp"

#include <algorithm>
#include <kj/exception.h>
#include <utility>

namespace troupe {
namespace {

Sha256 sha256_of(const Weights& weights) {
  Sha256 digest{};
  const auto told = weights.header().getSha256();
  std::copy(told.begin(), told.end(), digest.begin());
  return digest;
}

std::shared_ptr<const WeightDelta> delta_of(const Weights& before, const Weights& after,
                                            DeltaUse use) {
  const std::uint64_t most = use == DeltaUse::always ? ~std::uint64_t{0} : after.bytes().size() / 2;
  auto code = encode_delta(before.bytes(), after.bytes(), sizeof(float), most);
  if (!code) return nullptr;
  return std::make_shared<const WeightDelta>(WeightDelta{sha256_of(before), std::move(*code)});
}

}  // namespace

Shipment Packing::pack(const Weights& weights, const ShipmentWish& wish) {
  delta_wished_ = delta_wished_ || (wish.delta && terms_.delta != DeltaUse::never);
  if (!newest_.weights || newest_.weights.values() != weights.values()) renew(weights);
  if (wish.memory && terms_.carrier != CarrierUse::stream && !newest_.memory) seal();
  return newest_;
}

void Packing::renew(const Weights& weights) {
  const Weights before = std::exchange(newest_, {}).weights;
  newest_.weights = attested(weights, terms_.manifest);
  if (delta_wished_ && before && before.elements() == weights.elements())
    newest_.delta = delta_of(before, newest_.weights, terms_.delta);
}

/// The kernel may refuse, for want of memory say: then the stream carries the version.
void Packing::seal() {
  trouble_.clear();
  auto problem = kj::runCatchingExceptions([&] {
    newest_.memory = std::make_shared<const wire::SealedMemory>(newest_.weights.bytes());
  });
  KJ_IF_MAYBE (exception, problem) {
    trouble_ = exception->getDescription().cStr();
  }
}

void Packing::forget() {
  newest_ = {};
  delta_wished_ = false;
}

}  // namespace troupe
