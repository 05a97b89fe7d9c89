#pragma once
// The ways in which a version reaches another process. Within a process nothing is carried: the pointer is handed over.
// A way that moves values past the link, between two GPUs say, is one more Carrier.
#include "actors/link/shipment.hpp"
#include "messages/wire/memory_door.hpp"
#include "messages/wire/roles.capnp.h"

#include <cstdint>
#include <kj/async.h>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// How an attempt ended.
struct Carried {
  std::string refusal{};    // empty: the values are there; else why this way does not work here
  std::uint64_t bytes = 0;  // handed over
};

/// One way to one receiver. Lives on the loop.
class Carrier {
 public:
  virtual ~Carrier() noexcept(false) = default;
  /// Label of troupe_broadcaster_bytes_total.
  virtual const char* name() const = 0;
  /// Whether both ends are able to, as far as they say.
  virtual bool suits(const Shipment& shipment, wire::WeightReceiver::Reader receiver) const = 0;
  /// Moves the values, after `begin` and before `commit`. What was refused may go another way. Keeps what it needs of
  /// the shipment alive until the receiver has answered. Errors: rejects if the link or the receiver fails.
  virtual kj::Promise<Carried> carry(const Shipment& shipment, wire::WeightSink::Client sink) = 0;
};

/// Sealed memory of this machine, mapped by the receiver: no copy. After one refusal it suits no more.
class MemoryCarrier final : public Carrier {
 public:
  MemoryCarrier(wire::MemoryDoor& door, CarrierUse use) : door_(door), use_(use) {}
  const char* name() const override { return "memfd"; }
  /// Also without a shipment at hand, to know whether to seal one.
  bool wanted(wire::WeightReceiver::Reader receiver) const;
  bool suits(const Shipment& shipment, wire::WeightReceiver::Reader receiver) const override {
    return shipment.memory != nullptr && wanted(receiver);
  }
  kj::Promise<Carried> carry(const Shipment& shipment, wire::WeightSink::Client sink) override;

 private:
  wire::MemoryDoor& door_;
  CarrierUse use_;
  std::shared_ptr<bool> refused_ = std::make_shared<bool>(false);
};

/// What changed since the version that the receiver holds, in buckets.
class DeltaCarrier final : public Carrier {
 public:
  const char* name() const override { return "delta"; }
  bool suits(const Shipment& shipment, wire::WeightReceiver::Reader receiver) const override;
  kj::Promise<Carried> carry(const Shipment& shipment, wire::WeightSink::Client sink) override;
};

/// Everything, in buckets of 1 MiB that are sent from where they lie. Suits everyone.
class StreamCarrier final : public Carrier {
 public:
  const char* name() const override { return "stream"; }
  bool suits(const Shipment&, wire::WeightReceiver::Reader) const override { return true; }
  kj::Promise<Carried> carry(const Shipment& shipment, wire::WeightSink::Client sink) override;
};

}  // namespace troupe
