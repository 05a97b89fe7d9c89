#pragma once
// How versions of the weights may travel between processes: what both ends of a link are told.
#include "messages/weight_manifest.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

namespace troupe::gpu {
struct NcclLibrary;
}

namespace troupe {

/// What it takes to move versions by NCCL, from one GPU to another.
struct NcclTerms {
  std::shared_ptr<const gpu::NcclLibrary> library;  // null: it is not used
  std::chrono::milliseconds deadline{20000};        // to make a group, and for each bucket
  bool before_memory = false;                       // also where two processes share a machine
  std::string problem;  // why it is not used though the config wants it; empty: nothing is wrong
  /// Whether that has been said, of all that share these terms.
  std::shared_ptr<std::atomic<bool>> said = std::make_shared<std::atomic<bool>>(false);
};

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
  NcclTerms nccl;
};

}  // namespace troupe
