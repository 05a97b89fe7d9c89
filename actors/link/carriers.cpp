#include "actors/link/carriers.hpp"

#include "messages/wire/bucket_digest.hpp"

#include <algorithm>
#include <capnp/orphan.h>
#include <unistd.h>
#include <utility>

namespace troupe {
namespace {

using Bytes = kj::ArrayPtr<const kj::byte>;

constexpr std::size_t kBucketBytes = 1u << 20;

/// One bucket without a copy; a tail that is not whole words is copied, since words are sent.
void set_bytes(wire::WeightSink::BucketParams::Builder bucket, Bytes bytes) {
  const bool whole = bytes.size() % sizeof(capnp::word) == 0 &&
                     reinterpret_cast<std::uintptr_t>(bytes.begin()) % alignof(capnp::word) == 0;
  if (!whole) return bucket.setBytes(bytes);
  bucket.adoptBytes(capnp::Orphanage::getForMessageContaining(bucket).referenceExternalData(bytes));
}

/// `all` must live until the promise is done.
kj::Promise<void> send_buckets(Bytes all, wire::WeightSink::Client sink, std::size_t offset) {
  if (offset == all.size()) return kj::READY_NOW;
  const auto bytes = all.slice(offset, std::min(offset + kBucketBytes, all.size()));
  auto request = sink.bucketRequest();
  request.setOffset(offset);
  set_bytes(request, bytes);
  const wire::BucketDigest digest = wire::bucket_digest(bytes);
  request.setDigest(kj::arrayPtr(digest.data(), digest.size()));
  const std::size_t next = offset + bytes.size();
  return request.send().then(
      [all, sink, next]() mutable { return send_buckets(all, kj::mv(sink), next); });
}

}  // namespace

bool MemoryCarrier::wanted(wire::WeightReceiver::Reader receiver) const {
  if (*refused_ || use_ == CarrierUse::stream || receiver.getMachine().size() == 0) return false;
  if (receiver.getUser() != ::getuid()) return false;
  return use_ == CarrierUse::memfd || receiver.getMachine() == wire::machine_name().c_str();
}

kj::Promise<Carried> MemoryCarrier::carry(const Shipment& shipment, wire::WeightSink::Client sink) {
  const wire::MemoryToken token = door_.offer(shipment.memory);
  auto request = sink.mapRequest();
  request.setSocket(door_.socket());
  request.setToken(kj::arrayPtr(token.data(), token.size()));
  return request.send()
      .then([refused = refused_, bytes = shipment.memory->size()](auto&& results) {
        Carried carried{results.getRefusal(), bytes};
        if (!carried.refusal.empty()) *refused = true;
        return carried;
      })
      .attach(kj::defer(door_.withdrawal(token)));
}

bool DeltaCarrier::suits(const Shipment& shipment, wire::WeightReceiver::Reader receiver) const {
  if (!shipment.delta) return false;
  const Sha256& base = shipment.delta->base;
  return receiver.getBase() == kj::arrayPtr(base.data(), base.size());
}

kj::Promise<Carried> DeltaCarrier::carry(const Shipment& shipment, wire::WeightSink::Client sink) {
  const auto& delta = shipment.delta;
  const Bytes code(delta->code.data(), delta->code.size());
  auto request = sink.changeRequest();
  request.setBase(kj::arrayPtr(delta->base.data(), delta->base.size()));
  request.setBytes(code.size());
  return request.send()
      .ignoreResult()
      .then([code, sink]() mutable { return send_buckets(code, kj::mv(sink), 0); })
      .then([code] {
        return Carried{{}, code.size()};
      })
      .attach(std::shared_ptr<const WeightDelta>(delta));
}

kj::Promise<Carried> StreamCarrier::carry(const Shipment& shipment, wire::WeightSink::Client sink) {
  const Bytes all = shipment.weights.bytes();
  return send_buckets(all, kj::mv(sink), 0)
      .then([all] {
        return Carried{{}, all.size()};
      })
      .attach(Weights(shipment.weights));
}

}  // namespace troupe
