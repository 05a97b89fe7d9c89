#include "actors/link/desks.hpp"

#include "actors/link/codec.hpp"
#include "messages/wire/bucket_digest.hpp"

#include <algorithm>
#include <capnp/orphan.h>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {
namespace {

constexpr std::size_t kBucketBytes = 1u << 20;

/// One bucket without a copy; a tail that is not whole words is copied, since words are sent.
void set_bytes(wire::WeightSink::BucketParams::Builder bucket, kj::ArrayPtr<const kj::byte> bytes) {
  if (bytes.size() % sizeof(capnp::word) != 0) return bucket.setBytes(bytes);
  bucket.adoptBytes(capnp::Orphanage::getForMessageContaining(bucket).referenceExternalData(bytes));
}

kj::Promise<void> send_buckets(const Weights& weights, wire::WeightSink::Client sink,
                               std::size_t offset) {
  const kj::ArrayPtr<const kj::byte> all(reinterpret_cast<const kj::byte*>(weights.values().get()),
                                         weights.elements() * sizeof(float));
  if (offset == all.size()) return kj::READY_NOW;
  const auto bytes = all.slice(offset, std::min(offset + kBucketBytes, all.size()));
  auto request = sink.bucketRequest();
  request.setOffset(offset);
  set_bytes(request, bytes);
  const wire::BucketDigest digest = wire::bucket_digest(bytes);
  request.setDigest(kj::arrayPtr(digest.data(), digest.size()));
  const std::size_t next = offset + bytes.size();
  return request.send().then(
      [weights, sink, next]() mutable { return send_buckets(weights, kj::mv(sink), next); });
}

}  // namespace

kj::Promise<void> send_weights(const Weights& weights, wire::WeightSink::Client sink) {
  auto begin = sink.beginRequest();
  begin.setHeader(weights.header());
  return begin.send()
      .ignoreResult()
      .then([weights, sink]() mutable { return send_buckets(weights, sink, 0); })
      .then([sink]() mutable { return sink.commitRequest().send().ignoreResult(); })
      .attach(Weights(weights));
}

kj::Promise<void> TicketDesk::grant(GrantContext context) {
  const auto params = context.getParams();
  return ask<Tickets>(terms_.porter, terms_.porter, terms_.deadline, grant_atom::value,
                      params.getSequence(), params.getCount())
      .then([context](Tickets tickets) mutable {
        write(tickets, context.getResults().initTickets(static_cast<unsigned>(tickets.size())));
      });
}

kj::Promise<void> TicketDesk::notice(NoticeContext context) {
  return ask<bool>(terms_.porter, terms_.porter, terms_.deadline, notice_atom::value,
                   read_notices(context.getParams().getNotices()))
      .ignoreResult();
}

WeightDesk::Take taking_from(DeskTerms terms, Broadcaster broadcaster, std::string who) {
  return [terms = std::move(terms), broadcaster = std::move(broadcaster),
          who = std::move(who)](std::uint64_t at_least) {
    return ask<Weights>(terms.porter, broadcaster, terms.deadline, take_atom::value, who, at_least);
  };
}

kj::Promise<void> WeightDesk::next(NextContext context) {
  const auto params = context.getParams();
  return take_(params.getAtLeast()).then([context](Weights weights) mutable -> kj::Promise<void> {
    if (!weights) return kj::READY_NOW;  // none yet
    return send_weights(weights, context.getParams().getSink()).then([context]() mutable {
      context.getResults().setSent(true);
    });
  });
}

kj::Promise<void> RolloutDesk::take(TakeContext context) {
  const auto params = context.getParams();
  return ask<Rollouts>(terms_.porter, generator_, terms_.deadline, take_atom::value,
                       std::min(params.getCount(), terms_.rollouts_at_once),
                       read_ids(params.getAcknowledged()))
      .then([context, lent = lent_, source = source_](Rollouts rollouts) mutable {
        lent->lend(source, rollouts);
        write(rollouts, context.getResults().initRollouts(static_cast<unsigned>(rollouts.size())));
      });
}

kj::Promise<void> VerdictDesk::append(AppendContext context) {
  GradedRollouts own;
  for (const GradedRollout& graded : read_graded(context.getParams().getGraded())) {
    if (auto settled = lent_->settle(graded))
      own.push_back(std::move(*settled));
    else
      telemetry_.metrics().counter("troupe_actor_dropped_messages_total", "not_lent").Increment();
  }
  return ask<RolloutIds>(terms_.porter, buffer_, terms_.deadline, append_atom::value, own)
      .then([context](RolloutIds ids) mutable {
        write(ids, context.getResults().initAcknowledged(static_cast<unsigned>(ids.size())));
      });
}

}  // namespace troupe
