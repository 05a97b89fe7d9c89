#pragma once
// Batches on their way to a learner in another process: the end that has them, and the end that takes them.
#include "actors/link/desks.hpp"
#include "messages/wire/training.capnp.h"

#include <kj/timer.h>

namespace troupe {

/// Lives on the loop. Forwards to the learner's stand-in.
class BatchDesk final : public wire::BatchSource::Server {
 public:
  explicit BatchDesk(DeskTerms terms) : terms_(std::move(terms)) {}
  kj::Promise<void> take(TakeContext context) override;
  kj::Promise<void> settle(SettleContext context) override;

 private:
  DeskTerms terms_;
};

/// Settles the batch before and takes the next; null: none yet, ask again. On the loop.
/// Errors: rejects if what came is not the batch that was announced; OVERLOADED after `call_seconds` without an answer.
kj::Promise<BatchPtr> fetch_batch(wire::BatchSource::Client source, const TrainedReport& report,
                                  double call_seconds, kj::Timer& timer);

}  // namespace troupe
