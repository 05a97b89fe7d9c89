#pragma once
// A serving process's own port and who keeps it.
#include "actors/telemetry/telemetry.hpp"
#include "messages/wire/gatekeeper.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/tls.hpp"

#include <functional>
#include <kj/memory.h>
#include <string>

namespace troupe {

struct DoorPlan {
  std::string listen;  // "host:port"; port 0 takes a free one
  wire::LinkLimits limits;
  Telemetry* telemetry = nullptr;
};

/// Lives on the loop. Who is refused is counted and said.
class Door {
 public:
  struct Events {
    std::function<wire::Gate::Client(const wire::Visitor& visitor)> grant;
    std::function<void(const wire::Visitor& visitor, const wire::End& end)> ended;
  };

  /// `tls`: null: plain, loopback only. It must outlive this. Errors: throws kj::Exception naming address and remedy.
  Door(wire::Loop& loop, const DoorPlan& plan, wire::TlsContext* tls, const Events& events);

  unsigned port() const { return port_; }
  void close(std::uint64_t session, const std::string& why) { keeper_->close(session, why); }

 private:
  unsigned port_ = 0;
  kj::Own<wire::Gatekeeper> keeper_;
};

}  // namespace troupe
