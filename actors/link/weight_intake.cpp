#include "actors/link/weight_intake.hpp"

#include "actors/errors.hpp"
#include "actors/interfaces.hpp"
#include "actors/link/bridge.hpp"
#include "messages/wire/memory_door.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <kj/debug.h>
#include <prometheus/counter.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

namespace troupe {
namespace {

using open_atom = caf::atom_constant<caf::atom("open")>;

/// Opens parcels on a thread of its own, and asks in the loop's name.
caf::behavior opener(caf::event_based_actor* self) {
  return {errand_handler(self), [](open_atom, const Parcel& parcel) -> caf::result<Weights> {
            Weights weights;
            auto problem = kj::runCatchingExceptions([&] { weights = open(parcel); });
            KJ_IF_MAYBE (exception, problem) {
              return to_error(*exception);
            }
            return weights;
          }};
}

/// Takes one version.
class WeightSinkServer final : public wire::WeightSink::Server {
 public:
  WeightSinkServer(wire::Loop& loop, std::shared_ptr<WeightInbox> inbox,
                   std::shared_ptr<NcclReceiver> nccl, Telemetry& telemetry)
      : loop_(loop), inbox_(std::move(inbox)), nccl_(std::move(nccl)), telemetry_(telemetry) {}
  kj::Promise<void> begin(BeginContext context) override {
    inbox_->begin(context.getParams().getHeader());
    return kj::READY_NOW;
  }
  kj::Promise<void> bucket(BucketContext context) override {
    const auto params = context.getParams();
    inbox_->bucket(params.getOffset(), params.getBytes(), params.getDigest());
    return kj::READY_NOW;
  }
  kj::Promise<void> commit(CommitContext) override {
    inbox_->commit();
    return kj::READY_NOW;
  }
  kj::Promise<void> map(MapContext context) override {
    const auto params = context.getParams();
    const std::string socket = params.getSocket();
    return kj::evalNow([&] { return wire::fetch_memory(loop_, socket, params.getToken()); })
        .then([inbox = inbox_](kj::AutoCloseFd file) {
          inbox->map(wire::map_sealed(file, inbox->bytes()));
        })
        .catch_([this, context](kj::Exception&& exception) mutable {
          telemetry_.event("carrier", kj::str("memfd: ", exception.getDescription()).cStr());
          context.getResults().setRefusal(kj::str(exception.getDescription()));
        });
  }
  kj::Promise<void> nccl(NcclContext context) override {
    return nccl_->receive(context.getParams().getId(), inbox_)
        .then([this, context](std::string problem) mutable {
          if (problem.empty()) return;
          telemetry_.event("carrier", "nccl: " + problem);
          context.getResults().setRefusal(problem);
        });
  }
  kj::Promise<void> change(ChangeContext context) override {
    inbox_->change(context.getParams().getBase(), context.getParams().getBytes());
    return kj::READY_NOW;
  }

 private:
  wire::Loop& loop_;
  std::shared_ptr<WeightInbox> inbox_;
  std::shared_ptr<NcclReceiver> nccl_;
  Telemetry& telemetry_;
};

/// Fails once a transfer has not moved for `seconds`: a deadline that a large model does not outgrow.
class Movement {
 public:
  Movement(kj::Timer& timer, double seconds, std::shared_ptr<WeightInbox> inbox)
      : timer_(timer), seconds_(seconds), inbox_(std::move(inbox)) {}
  kj::Promise<Parcel> stopped() {
    return timer_.afterDelay(wire::duration(seconds_)).then([this]() -> kj::Promise<Parcel> {
      if (seen_ == inbox_->received_bytes()) return KJ_EXCEPTION(OVERLOADED, "weights do not move");
      seen_ = inbox_->received_bytes();
      return stopped();
    });
  }

 private:
  kj::Timer& timer_;
  double seconds_;
  std::shared_ptr<WeightInbox> inbox_;
  std::uint64_t seen_ = 0;
};

}  // namespace

WeightIntake::WeightIntake(wire::Loop& loop, WeightTerms terms, double stall_seconds,
                           Deadlines deadlines, caf::actor_system& system, Telemetry& telemetry)
    : loop_(loop),
      terms_(std::move(terms)),
      stall_seconds_(stall_seconds),
      deadlines_(deadlines),
      telemetry_(telemetry),
      nccl_(std::make_shared<NcclReceiver>(terms_.nccl)) {
  say_problem(terms_.nccl, telemetry);
  // CAF 0.17 counts a thread that spawns among the users of its system, which ends only after them: not the loop's.
  std::thread([&] { opener_ = system.spawn<caf::detached>(opener); }).join();
}

WeightIntake::~WeightIntake() noexcept(false) {
  close();
}

void WeightIntake::close() {
  if (opener_) caf::anon_send_exit(opener_, caf::exit_reason::user_shutdown);
  opener_ =
      nullptr;  // the thread of a detached actor ends once nobody refers to it, and its system only after that
}

void WeightIntake::describe(wire::WeightReceiver::Builder receiver) const {
  if (plain_) return;
  receiver.setNccl(nccl_->identity());
  if (terms_.carrier != CarrierUse::stream) {
    receiver.setMachine(wire::machine_name());
    receiver.setUser(::getuid());
  }
  if (held_ && terms_.delta != DeltaUse::never) receiver.setBase(held_.header().getSha256());
}

kj::Promise<Weights> WeightIntake::fetch(wire::WeightSource::Client source,
                                         std::uint64_t at_least) {
  auto inbox = std::make_shared<WeightInbox>(terms_.manifest, held_);
  auto request = source.nextRequest();
  request.setAtLeast(at_least);
  request.setSink(kj::heap<WeightSinkServer>(loop_, inbox, nccl_, telemetry_));
  describe(request.initReceiver());
  auto moving = kj::heap<Movement>(loop_.timer, stall_seconds_, inbox);
  auto stopped = moving->stopped();
  return request.send()
      .then([inbox](auto&&) { return inbox->parcel(); })  // empty: none yet
      .exclusiveJoin(kj::mv(stopped))
      .attach(kj::mv(moving))
      .then([this](Parcel parcel) { return attest(parcel); })
      .catch_([this](kj::Exception&& exception) -> kj::Promise<Weights> {
        const caf::error error = to_error(exception);
        if (code_of(error) == Errc::digest_mismatch) {
          telemetry_.metrics().counter("troupe_broadcaster_checksum_mismatch_total").Increment();
          telemetry_.event("digest_mismatch", troupe::describe(error));
          plain_ = true;
        }
        return kj::mv(exception);
      });
}

kj::Promise<Weights> WeightIntake::attest(const Parcel& parcel) {
  if (!parcel) return Weights{};
  if (!opener_) return KJ_EXCEPTION(DISCONNECTED, "the run is over");
  return ask<Weights>(opener_, opener_, deadlines_.request, open_atom::value, parcel)
      .then([this](Weights weights) {
        if (terms_.delta != DeltaUse::never) held_ = weights;
        plain_ = false;
        return weights;
      });
}

}  // namespace troupe
