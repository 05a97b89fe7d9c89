#include "actors/link/weight_dispatch.hpp"

#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <thread>
#include <utility>

namespace troupe {

WeightDispatch::WeightDispatch(wire::Loop& loop, WeightTerms terms, Telemetry& telemetry)
    : timer_(loop.timer), terms_(std::move(terms)), telemetry_(telemetry) {
  say_problem(terms_.nccl, telemetry);
  if (terms_.carrier == CarrierUse::stream) return;
  auto problem = kj::runCatchingExceptions([&] { door_ = kj::heap<wire::MemoryDoor>(loop); });
  KJ_IF_MAYBE (exception, problem) {
    telemetry.event("carrier", kj::str("memfd: ", exception->getDescription()).cStr());
  }
}

WeightDispatch::~WeightDispatch() noexcept(false) {
  close();
  *self_ = nullptr;
}

void WeightDispatch::close() {
  closed_ = true;
  for (const auto& [broadcaster, address] : packers_)
    if (const auto packer = caf::actor_cast<caf::actor>(address))
      caf::anon_send_exit(packer, caf::exit_reason::user_shutdown);
  packers_.clear();
}

wire::WeightSource::Client WeightDispatch::source(DeskTerms terms, Origin broadcaster,
                                                  std::string who) {
  ++sources_;
  return kj::heap<WeightDesk>(*this, std::move(terms), std::move(broadcaster), std::move(who));
}

/// Without a receiver nobody can need the packed version any more.
void WeightDispatch::source_gone() {
  if (--sources_ > 0) return;
  for (const auto& [broadcaster, address] : packers_)
    if (const auto packer = caf::actor_cast<caf::actor>(address))
      caf::anon_send(packer, forget_atom::value);
}

void WeightDispatch::note(const Weights& attested) {
  digests_.note(attested.header());
  for (auto& waiting : waiting_) waiting->fulfill();
  waiting_.clear();
}

/// Once it has come, or never will.
kj::Promise<void> WeightDispatch::noted(std::uint64_t version) {
  if (!digests_.awaits(version)) return kj::READY_NOW;
  std::erase_if(waiting_, [](auto& waiting) { return !waiting->isWaiting(); });
  auto paf = kj::newPromiseAndFulfiller<void>();
  waiting_.push_back(kj::mv(paf.fulfiller));
  return paf.promise.then([this, version] { return noted(version); });
}

/// The one of this broadcaster, which ends with it.
caf::actor WeightDispatch::packer_for(const Broadcaster& broadcaster) {
  std::erase_if(packers_,
                [](const auto& entry) { return !caf::actor_cast<caf::actor>(entry.second); });
  const auto from = caf::actor_cast<caf::actor>(broadcaster);
  const auto found = packers_.find(from.address());
  if (found != packers_.end()) return caf::actor_cast<caf::actor>(found->second);
  caf::actor made;
  // CAF 0.17 counts a thread that spawns among the users of its system, which ends only after them: not the loop's.
  std::thread([&] {
    made = from->home_system().spawn(packer, broadcaster, terms_, &telemetry_);
  }).join();
  packers_[from.address()] = made.address();
  return made;
}

WeightDesk::WeightDesk(WeightDispatch& dispatch, DeskTerms terms,
                       WeightDispatch::Origin broadcaster, std::string who)
    : dispatch_(dispatch),
      life_(dispatch.self_),
      terms_(std::move(terms)),
      broadcaster_(std::move(broadcaster)),
      who_(std::move(who)) {
  const NcclTerms& nccl = dispatch_.terms_.nccl;
  if (nccl.library && nccl.before_memory) add_nccl();
  KJ_IF_MAYBE (door, dispatch_.door_) {
    auto memory = std::make_unique<MemoryCarrier>(**door, dispatch_.terms_.carrier);
    memory_ = memory.get();
    carriers_.push_back(std::move(memory));
  }
  if (nccl.library && !nccl.before_memory) add_nccl();
  carriers_.push_back(std::make_unique<DeltaCarrier>());
  carriers_.push_back(std::make_unique<StreamCarrier>());
}

void WeightDesk::add_nccl() {
  auto nccl = std::make_unique<NcclCarrier>(dispatch_.timer_, dispatch_.terms_.nccl);
  nccl_ = nccl.get();
  carriers_.push_back(std::move(nccl));
}

WeightDesk::~WeightDesk() noexcept(false) {
  if (*life_ != nullptr) dispatch_.source_gone();
}

kj::Promise<void> WeightDesk::next(NextContext context) {
  const auto params = context.getParams();
  const auto receiver = params.getReceiver();
  bool by_nccl = nccl_ != nullptr && nccl_->wanted(receiver);
  bool memory = memory_ != nullptr && memory_->wanted(receiver);
  if (by_nccl && memory) (dispatch_.terms_.nccl.before_memory ? memory : by_nccl) = false;
  const Broadcaster from = broadcaster_();
  const caf::actor packer = from && !dispatch_.closed_ ? dispatch_.packer_for(from) : nullptr;
  if (!packer) return KJ_EXCEPTION(OVERLOADED, "no stage is on here; ask again");
  PackingOrder order{who_, params.getAtLeast(), {}};
  order.wish = {memory, !by_nccl && !memory && receiver.getBase().size() > 0};
  return ask<Shipment>(terms_.porter, packer, terms_.deadline, pack_atom::value, order,
                       terms_.deadline)
      .then([this, context](Shipment shipment) mutable -> kj::Promise<void> {
        if (!shipment.weights) return kj::READY_NOW;  // none yet
        dispatch_.note(shipment.weights);
        const auto asked = context.getParams();
        return send(shipment, asked.getReceiver(), asked.getSink()).then([context]() mutable {
          context.getResults().setSent(true);
        });
      });
}

kj::Promise<void> WeightDesk::digest(DigestContext context) {
  const std::uint64_t version = context.getParams().getVersion();
  const auto patience = std::chrono::duration_cast<std::chrono::nanoseconds>(terms_.deadline / 3);
  return dispatch_.noted(version)
      .exclusiveJoin(dispatch_.timer_.afterDelay(patience.count() * kj::NANOSECONDS))
      .then([this, context, version]() mutable {
        const Digests found = dispatch_.digests_.find(version);
        auto results = context.getResults();
        results.setSha256(kj::StringPtr(found.sha256.c_str(), found.sha256.size()).asBytes());
        results.setDigest(found.digest);
        results.setNewest(dispatch_.digests_.newest());
      });
}

kj::Promise<void> WeightDesk::send(const Shipment& shipment, wire::WeightReceiver::Reader receiver,
                                   wire::WeightSink::Client sink) {
  auto begin = sink.beginRequest();
  begin.setHeader(shipment.weights.header());
  return begin.send()
      .ignoreResult()
      .then([this, shipment, receiver, sink]() mutable {
        return carry(shipment, receiver, kj::mv(sink), 0);
      })
      .then([sink]() mutable { return sink.commitRequest().send().ignoreResult(); })
      .attach(Weights(shipment.weights));  // whole until the receiver has answered
}

kj::Promise<void> WeightDesk::carry(const Shipment& shipment, wire::WeightReceiver::Reader receiver,
                                    wire::WeightSink::Client sink, std::size_t carrier) {
  while (!carriers_[carrier]->suits(shipment, receiver)) ++carrier;
  return carriers_[carrier]
      ->carry(shipment, sink)
      .then(
          [this, shipment, receiver, sink, carrier](Carried carried) mutable -> kj::Promise<void> {
            const std::string name = carriers_[carrier]->name();
            if (carried.refusal.empty()) {
              dispatch_.telemetry_.metrics()
                  .counter("troupe_broadcaster_bytes_total", name)
                  .Increment(static_cast<double>(carried.bytes));
              if (carriers_[carrier].get() == nccl_ && !std::exchange(by_nccl_, true))
                dispatch_.telemetry_.event(
                    "carrier", "nccl to " + who_ + ": versions pass the link, not encrypted");
              return kj::READY_NOW;
            }
            dispatch_.telemetry_.event("carrier", name + " to " + who_ + ": " + carried.refusal);
            return carry(shipment, receiver, kj::mv(sink), carrier + 1);
          });
}

}  // namespace troupe
