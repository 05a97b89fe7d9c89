#include "actors/link/batch_desk.hpp"

#include "actors/link/codec.hpp"
#include "actors/link/learner_codec.hpp"
#include "messages/wire/limits.hpp"

#include <algorithm>
#include <kj/debug.h>
#include <memory>
#include <utility>

namespace troupe {
namespace {

/// From rollout `first` of group `group` on: so many at a time that each message fits a frame.
kj::Promise<void> send_parts(const BatchPtr& batch, wire::BatchSink::Client sink, std::size_t group,
                             std::size_t first, std::uint32_t at_once) {
  if (group == batch->groups.size()) return kj::READY_NOW;
  const BatchGroup& from = batch->groups[group];
  const std::size_t count = std::min<std::size_t>(at_once, from.rollouts.size() - first);
  const auto begin = from.rollouts.begin() + static_cast<std::ptrdiff_t>(first);
  auto request = sink.partRequest();
  request.setTicket(from.ticket);
  write(GradedRollouts(begin, begin + static_cast<std::ptrdiff_t>(count)),
        request.initRollouts(static_cast<unsigned>(count)));
  const bool done = first + count == from.rollouts.size();
  return request.send().then([batch, sink, at_once, group = group + (done ? 1 : 0),
                              first = done ? 0 : first + count]() mutable {
    return send_parts(batch, kj::mv(sink), group, first, at_once);
  });
}

kj::Promise<void> send_batch(const BatchPtr& batch, wire::BatchSink::Client sink,
                             std::uint32_t at_once) {
  auto begin = sink.beginRequest();
  write(*batch, begin.initHead());
  return begin.send()
      .ignoreResult()
      .then([batch, sink, at_once]() mutable { return send_parts(batch, sink, 0, 0, at_once); })
      .then([sink]() mutable { return sink.commitRequest().send().ignoreResult(); });
}

/// Takes one batch.
class BatchSinkServer final : public wire::BatchSink::Server {
 public:
  explicit BatchSinkServer(std::shared_ptr<BatchPtr> taken) : taken_(std::move(taken)) {}
  kj::Promise<void> begin(BeginContext context) override {
    KJ_REQUIRE(!begun_, "a second batch");
    begun_ = true;
    const auto head = context.getParams().getHead();
    batch_ = read_head(head);
    groups_ = head.getGroups();
    return kj::READY_NOW;
  }
  kj::Promise<void> part(PartContext context) override {
    const auto params = context.getParams();
    GradedRollouts rollouts = read_graded(params.getRollouts());
    KJ_REQUIRE(begun_ && !rollouts.empty(), "a part of no batch, or an empty one");
    if (batch_.groups.empty() || batch_.groups.back().ticket != params.getTicket()) {
      KJ_REQUIRE(batch_.groups.size() < groups_, "more groups than were announced");
      batch_.groups.push_back({params.getTicket(), {}});
    }
    GradedRollouts& all = batch_.groups.back().rollouts;
    all.insert(all.end(), rollouts.begin(), rollouts.end());
    return kj::READY_NOW;
  }
  kj::Promise<void> commit(CommitContext) override {
    KJ_REQUIRE(begun_ && batch_.groups.size() == groups_, "fewer groups than were announced");
    *taken_ = std::make_shared<const Batch>(std::move(batch_));
    return kj::READY_NOW;
  }

 private:
  std::shared_ptr<BatchPtr> taken_;
  Batch batch_;
  std::uint32_t groups_ = 0;
  bool begun_ = false;
};

}  // namespace

kj::Promise<void> BatchDesk::take(TakeContext context) {
  return ask<BatchPtr>(terms_.porter, terms_.porter, terms_.deadline, take_atom::value,
                       read_report(context.getParams().getReport()))
      .then([context,
             at_once = terms_.rollouts_at_once](BatchPtr batch) mutable -> kj::Promise<void> {
        if (!batch) return kj::READY_NOW;  // none yet
        return send_batch(batch, context.getParams().getSink(), at_once).then([context]() mutable {
          context.getResults().setSent(true);
        });
      });
}

kj::Promise<void> BatchDesk::settle(SettleContext context) {
  return ask<bool>(terms_.porter, terms_.porter, terms_.deadline, settle_atom::value,
                   read_report(context.getParams().getReport()))
      .ignoreResult();
}

kj::Promise<BatchPtr> fetch_batch(wire::BatchSource::Client source, const TrainedReport& report,
                                  double call_seconds, kj::Timer& timer) {
  auto taken = std::make_shared<BatchPtr>();
  auto request = source.takeRequest();
  write(report, request.initReport());
  request.setSink(kj::heap<BatchSinkServer>(taken));
  return timer.timeoutAfter(wire::duration(call_seconds),
                            request.send().then([taken](auto&&) { return *taken; }));
}

}  // namespace troupe
