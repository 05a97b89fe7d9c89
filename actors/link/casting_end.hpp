#pragma once
// The end of what a process is cast for, for whoever waits for an answer of it.
#include <kj/async.h>
#include <kj/debug.h>

namespace troupe {

/// Lives on the loop, as long as the casting. (CAF 0.17 leaves a request to an actor that goes unanswered until its
/// deadline, if the actor had kept the promise.)
class CastingEnd {
 public:
  CastingEnd() : CastingEnd(kj::newPromiseAndFulfiller<void>()) {}
  ~CastingEnd() { fulfiller_->fulfill(); }
  CastingEnd(const CastingEnd&) = delete;
  CastingEnd& operator=(const CastingEnd&) = delete;

  /// Rejects as DISCONNECTED when the casting ends first.
  template <class T>
  kj::Promise<T> within(kj::Promise<T> answer) {
    return answer.exclusiveJoin(over_.addBranch().then([]() -> kj::Promise<T> {
      return KJ_EXCEPTION(DISCONNECTED, "what was cast here has ended");
    }));
  }

 private:
  explicit CastingEnd(kj::PromiseFulfillerPair<void> pair)
      : fulfiller_(kj::mv(pair.fulfiller)), over_(pair.promise.fork()) {}

  kj::Own<kj::PromiseFulfiller<void>> fulfiller_;
  kj::ForkedPromise<void> over_;
};

}  // namespace troupe
