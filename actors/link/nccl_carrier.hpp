#pragma once
// Versions that go from one GPU to another by NCCL; the link only agrees on who takes part.
#include "actors/link/carriers.hpp"
#include "actors/link/weight_inbox.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "gpu/transport/weight_pipe.hpp"
#include "messages/wire/kj_thread.hpp"

#include <chrono>
#include <kj/async.h>
#include <kj/time.h>
#include <memory>
#include <string>

namespace troupe {

/// Once for all that share the terms.
void say_problem(const NcclTerms& terms, Telemetry& telemetry);

/// To one receiver. After a failure the pipe is given up, and another one is tried after a while. Not for every pair: both
/// need a library and a device, and not the same one.
class NcclCarrier final : public Carrier {
 public:
  NcclCarrier(kj::Timer& timer, NcclTerms terms) : timer_(timer), terms_(std::move(terms)) {}
  const char* name() const override { return "nccl"; }
  /// Also without a shipment at hand.
  bool wanted(wire::WeightReceiver::Reader receiver) const;
  bool suits(const Shipment&, wire::WeightReceiver::Reader receiver) const override {
    return wanted(receiver);
  }
  kj::Promise<Carried> carry(const Shipment& shipment, wire::WeightSink::Client sink) override;

 private:
  kj::Timer& timer_;
  const NcclTerms terms_;
  gpu::NcclId id_;
  std::shared_ptr<gpu::WeightPipe> pipe_;  // null: none yet, or it was lost
  kj::TimePoint again_ = kj::origin<kj::TimePoint>();
};

/// The other end: of a process that takes weights.
class NcclReceiver {
 public:
  explicit NcclReceiver(NcclTerms terms) : terms_(std::move(terms)) {}
  /// Of this process's device; empty: it takes part in nothing.
  std::string identity() const;
  /// Takes all values into the inbox, from the group with that id. Answers with why it did not; empty: it did.
  kj::Promise<std::string> receive(kj::ArrayPtr<const kj::byte> id,
                                   const std::shared_ptr<WeightInbox>& inbox);

 private:
  const NcclTerms terms_;
  gpu::NcclId id_;
  std::shared_ptr<gpu::WeightPipe> pipe_;
};

}  // namespace troupe
