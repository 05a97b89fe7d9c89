#pragma once
// The one thread of a process that runs a KJ event loop.
#include <deque>
#include <functional>
#include <future>
#include <kj/async-io.h>
#include <kj/common.h>
#include <kj/exception.h>
#include <kj/function.h>
#include <kj/memory.h>
#include <kj/timer.h>
#include <mutex>
#include <string>
#include <thread>

namespace troupe::wire {

/// What a task sees of the event loop that it runs on.
struct Loop {
  kj::AsyncIoProvider& io;
  kj::LowLevelAsyncIoProvider& low_level_io;
  kj::Timer& timer;
};

/// Runs tasks on an event loop: the seam that lets a test put both ends of a link on one thread.
class Courier {
 public:
  using Task = kj::Function<void(Loop&)>;

  virtual ~Courier() noexcept(false) = default;  // as KJ's destructors are

  /// Runs `task` on the loop, in posting order. False, with the task dropped, once stopped.
  /// Safe from any thread, also from the loop; never blocks. A task carries values only, must not
  /// block, and is destroyed on the loop unless the answer is false.
  virtual bool post(Task task) = 0;
};

/// A thread with an event loop. Every object of KJ and Cap'n Proto lives and dies on it: their
/// reference counts are not atomic. Other threads hold plain references as names and `post`.
class KjThread final : public Courier {
 public:
  /// Takes what KJ and tasks have to say, on the loop. Never text of a peer's choosing alone.
  using Log = std::function<void(kj::LogSeverity severity, const std::string& text)>;

  /// Starts the thread and waits for `setup(loop)`, which builds everything on the loop and returns
  /// it. Errors: rethrows what setup throws (a bad certificate, a taken port).
  KjThread(kj::Function<kj::Own<void>(Loop&)> setup, Log log);

  /// Destroys on the loop what setup built, which fails every call in flight, then ends the thread.
  /// Tasks not yet run are dropped.
  ~KjThread() noexcept override;

  KjThread(const KjThread&) = delete;
  KjThread& operator=(const KjThread&) = delete;

  bool post(Task task) override;

 private:
  class Listener;
  using Setup = kj::Function<kj::Own<void>(Loop&)>;
  using Ready = std::promise<kj::Maybe<kj::Exception>>;

  void listen(Ready& ready, Setup& setup);
  void run(Ready& ready, Setup& setup);
  kj::Promise<void> drain(Loop& loop);
  void report(kj::Maybe<kj::Exception> problem);

  Log log_;
  std::mutex mutex_;  // guards all below but thread_
  std::deque<Task> tasks_;
  kj::Maybe<kj::Own<kj::CrossThreadPromiseFulfiller<void>>> sleeper_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace troupe::wire
