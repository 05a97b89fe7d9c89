#include "messages/wire/session.hpp"

#include <capnp/message.h>
#include <cstdint>
#include <utility>

namespace troupe::wire {

namespace {

constexpr int kNesting = 16;

capnp::ReaderOptions reader_options(const LinkLimits& limits) {
  capnp::ReaderOptions options;
  // The limit of what is read, and sent, per message; counting open calls reads a little twice.
  options.traversalLimitInWords = limits.frame_bytes / sizeof(capnp::word) + 64;
  options.nestingLimit = kNesting;
  return options;
}

}  // namespace

Session::Session(kj::Own<kj::AsyncIoStream> stream, Side side, kj::Timer& timer,
                 const LinkLimits& limits, kj::Maybe<capnp::Capability::Client> bootstrap)
    : timer_(timer),
      stream_(kj::mv(stream)),
      watched_(*stream_, timer, limits),
      network_(watched_, side, reader_options(limits)),
      rpc_(network_, kj::mv(bootstrap)) {
  if (side == Side::SERVER)
    watched_.watch(network_);  // on both sides each could wait for the other
  rpc_.setFlowLimit(limits.unanswered_bytes / sizeof(capnp::word));
}

capnp::Capability::Client Session::peer() {
  capnp::MallocMessageBuilder message(4);
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(network_.getSide() == Side::CLIENT ? Side::SERVER : Side::CLIENT);
  return rpc_.bootstrap(vat);
}

kj::Promise<End> Session::ended() {
  auto dropped = network_.onDisconnect().then([] {
    return End{Ending::malformed, "a frame that breaks the protocol"};
  });
  return watched_.over().exclusiveJoin(kj::mv(dropped)).then([this](End&& end) {
    // A moment for the abort message that tells the peer why.
    auto parting = network_.onDisconnect().exclusiveJoin(timer_.afterDelay(50 * kj::MILLISECONDS));
    return parting.then([end = std::move(end)]() mutable { return std::move(end); });
  });
}

}  // namespace troupe::wire
