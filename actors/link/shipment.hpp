#pragma once
// A version made ready for other processes: attested, and in the forms that carriers (carriers.hpp) move. Plain rules.
#include "actors/link/weight_terms.hpp"
#include "messages/weights.hpp"
#include "messages/wire/sealed_memory.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// The changes from one version to a newer one.
struct WeightDelta {
  Sha256 base{};               // of the version that they are applied to
  std::vector<kj::byte> code;  // messages/weight_delta.hpp
};

/// Shared by all receivers of the version. Safe from any thread.
struct Shipment {
  Weights weights;                                   // with manifest and SHA-256; empty: none yet
  std::shared_ptr<const wire::SealedMemory> memory;  // null: nobody asked for it, or there is none
  std::shared_ptr<const WeightDelta> delta;          // null: likewise
};

/// What the receiver of a shipment could make use of.
struct ShipmentWish {
  bool memory = false, delta = false;
};

/// Packs each version once and holds the newest only, so that a process that publishes holds two versions at most: the
/// newest and the one that is being packed. Used by one thread at a time; reads all values, so never on a loop.
class Packing {
 public:
  explicit Packing(WeightTerms terms) : terms_(std::move(terms)) {}

  /// A delta is made when the version before was packed here and somebody has wished for one. Errors: throws kj::Exception
  /// if the manifest is not of these weights. `trouble` says why there is no memory though it was wished for.
  Shipment pack(const Weights& weights, const ShipmentWish& wish);
  /// Nobody is served any more.
  void forget();
  const std::string& trouble() const { return trouble_; }

 private:
  void renew(const Weights& weights);
  void seal();

  const WeightTerms terms_;
  Shipment newest_;
  bool delta_wished_ = false;
  std::string trouble_;  // empty: none
};

}  // namespace troupe
