#pragma once
// How versions of the weights may travel between processes: what both ends of a link are told.
#include "messages/weight_manifest.hpp"

namespace troupe {

/// Whether one machine's processes share the memory of a version: [broadcaster] carrier.
enum class CarrierUse {
  automatic,  // where both ends say that they are on one machine
  stream,     // never: all goes over the link
  memfd,      // offered to everyone: containers of one machine need not know that they are
};
/// When only what changed is sent: [broadcaster] delta.
enum class DeltaUse {
  automatic,  // where that is at most half of a version
  always,     // wherever the receiver holds the version before
  never,
};

struct WeightTerms {
  WeightManifest manifest;  // of the run's model
  CarrierUse carrier = CarrierUse::automatic;
  DeltaUse delta = DeltaUse::automatic;
};

}  // namespace troupe
