#pragma once
// Where versions of the weights leave for other processes.
#include "actors/link/carriers.hpp"
#include "actors/link/desks.hpp"
#include "actors/link/digest_book.hpp"
#include "actors/link/nccl_carrier.hpp"
#include "actors/link/packer.hpp"

#include <functional>
#include <kj/memory.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// One per process that serves weights. Lives on the loop; the sources that it made answer no more once it is gone.
class WeightDispatch {
 public:
  WeightDispatch(wire::Loop& loop, WeightTerms terms, Telemetry& telemetry);
  ~WeightDispatch() noexcept(false);
  WeightDispatch(const WeightDispatch&) = delete;
  WeightDispatch& operator=(const WeightDispatch&) = delete;

  /// The versions of `broadcaster`, for the process called `who`. A function is asked each time, and gives null between
  /// two stages.
  using Origin = std::function<Broadcaster()>;
  wire::WeightSource::Client source(DeskTerms terms, Origin broadcaster, std::string who);
  wire::WeightSource::Client source(DeskTerms terms, const Broadcaster& broadcaster,
                                    std::string who) {
    return source(
        std::move(terms), [broadcaster] { return broadcaster; }, std::move(who));
  }
  /// A version that came in attested from who made it: others may ask for its digest.
  void note(const Weights& attested);
  /// The run is over: nothing is packed any more, and no actor of this is left.
  void close();

 private:
  friend class WeightDesk;
  void source_gone();
  kj::Promise<void> noted(std::uint64_t version);
  caf::actor packer_for(const Broadcaster& broadcaster);

  kj::Timer& timer_;
  const WeightTerms terms_;
  Telemetry& telemetry_;
  kj::Maybe<kj::Own<wire::MemoryDoor>> door_;           // none: the stream carries all
  std::map<caf::actor_addr, caf::actor_addr> packers_;  // by broadcaster
  DigestBook digests_;
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> waiting_;  // for the next digest
  std::size_t sources_ = 0;
  bool closed_ = false;
  std::shared_ptr<WeightDispatch*> self_ = std::make_shared<WeightDispatch*>(this);  // null: gone
};

/// One receiver's way to the newest version.
class WeightDesk final : public wire::WeightSource::Server {
 public:
  WeightDesk(WeightDispatch& dispatch, DeskTerms terms, WeightDispatch::Origin broadcaster,
             std::string who);
  ~WeightDesk() noexcept(false);
  kj::Promise<void> next(NextContext context) override;
  kj::Promise<void> digest(DigestContext context) override;

 private:
  void add_nccl();
  kj::Promise<void> send(const Shipment& shipment, wire::WeightReceiver::Reader receiver,
                         wire::WeightSink::Client sink);
  kj::Promise<void> carry(const Shipment& shipment, wire::WeightReceiver::Reader receiver,
                          wire::WeightSink::Client sink, std::size_t carrier);

  WeightDispatch& dispatch_;
  const std::shared_ptr<WeightDispatch*> life_;  // the loop may drop a session after all else
  DeskTerms terms_;
  WeightDispatch::Origin broadcaster_;
  std::string who_;
  MemoryCarrier* memory_ = nullptr;  // one of them, if there is a door
  NcclCarrier* nccl_ = nullptr;      // likewise, if there is a library
  bool by_nccl_ = false;             // said that versions go that way
  std::vector<std::unique_ptr<Carrier>>
      carriers_;  // the one to try first comes first; the last suits everyone
};

}  // namespace troupe
