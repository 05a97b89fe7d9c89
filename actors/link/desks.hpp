#pragma once
// Capabilities that forward into actors: what peers may call. They live on the loop.
// Those for weights are in weight_dispatch.hpp.
#include "actors/interfaces.hpp"
#include "actors/link/bridge.hpp"
#include "actors/link/lent.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "messages/wire/roles.capnp.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

/// In whose name a desk asks, and how long an answer may take.
struct DeskTerms {
  caf::actor porter;  // a stand-in, or a site's own actor; handles errands
  caf::actor_clock::duration_type deadline;
  std::uint32_t rollouts_at_once = 64;  // per message, so that it fits a frame
};

/// Tickets of a generator, through its stand-in.
class TicketDesk final : public wire::TicketSource::Server {
 public:
  explicit TicketDesk(DeskTerms terms) : terms_(std::move(terms)) {}
  kj::Promise<void> grant(GrantContext context) override;
  kj::Promise<void> notice(NoticeContext context) override;

 private:
  DeskTerms terms_;
};

/// Rollouts of one generator, for one verifier. `source` tells its generators apart.
class RolloutDesk final : public wire::RolloutSource::Server {
 public:
  RolloutDesk(DeskTerms terms, Generator generator, std::shared_ptr<Lent> lent,
              std::uint64_t source)
      : terms_(std::move(terms)),
        generator_(std::move(generator)),
        lent_(std::move(lent)),
        source_(source) {}
  ~RolloutDesk() noexcept(false) { lent_->forget(source_); }
  kj::Promise<void> take(TakeContext context) override;

 private:
  DeskTerms terms_;
  Generator generator_;
  std::shared_ptr<Lent> lent_;
  std::uint64_t source_;
};

/// Where a verifier's verdicts go. Those on rollouts that it was not lent are refused and counted.
class VerdictDesk final : public wire::VerdictSink::Server {
 public:
  VerdictDesk(DeskTerms terms, ReplayBuffer buffer, std::shared_ptr<const Lent> lent,
              Telemetry& telemetry)
      : terms_(std::move(terms)),
        buffer_(std::move(buffer)),
        lent_(std::move(lent)),
        telemetry_(telemetry) {}
  kj::Promise<void> append(AppendContext context) override;

 private:
  DeskTerms terms_;
  ReplayBuffer buffer_;
  std::shared_ptr<const Lent> lent_;
  Telemetry& telemetry_;
};

}  // namespace troupe
