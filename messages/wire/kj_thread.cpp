#include "messages/wire/kj_thread.hpp"

#include <future>
#include <kj/debug.h>
#include <kj/string.h>
#include <utility>

namespace troupe::wire {

/// Feeds what KJ would print on stderr to the log; spares the cost of stack traces.
class KjThread::Listener final : public kj::ExceptionCallback {
 public:
  explicit Listener(const Log& log) : log_(log) {}

  void logMessage(kj::LogSeverity severity, const char* file, int line, int,
                  kj::String&& text) override {
    if (log_) log_(severity, std::string(kj::str(file, ':', line, ": ", text).cStr()));
  }
  StackTraceMode stackTraceMode() override { return StackTraceMode::NONE; }

 private:
  const Log& log_;
};

KjThread::KjThread(kj::Function<kj::Own<void>(Loop&)> setup, Log log) : log_(std::move(log)) {
  std::promise<kj::Maybe<kj::Exception>> ready;
  auto outcome = ready.get_future();
  thread_ =
      std::thread([this, ready = std::move(ready), &setup]() mutable { listen(ready, setup); });
  auto problem = outcome.get();
  KJ_IF_MAYBE (exception, problem) {
    thread_.join();
    kj::throwFatalException(kj::mv(*exception));
  }
}

// KJ wants its callbacks on the true stack, and ASan gives instrumented functions another one.
[[gnu::no_sanitize_address]] void KjThread::listen(Ready& ready, Setup& setup) {
  Listener listener(log_);
  run(ready, setup);
}

void KjThread::run(Ready& ready, Setup& setup) {
  auto io = kj::setupAsyncIo();
  Loop loop{*io.provider, *io.lowLevelProvider, io.provider->getTimer()};
  kj::Own<void> keep;
  auto problem = kj::runCatchingExceptions([&] { keep = setup(loop); });
  const bool works = problem == nullptr;
  ready.set_value(kj::mv(problem));  // the constructor goes on: setup is gone
  if (works) drain(loop).wait(io.waitScope);
  report(kj::runCatchingExceptions([&] { keep = nullptr; }));
  std::deque<Task> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(tasks_);
  }
}

KjThread::~KjThread() noexcept {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    KJ_IF_MAYBE (sleeper, sleeper_) {
      (*sleeper)->fulfill();
    }
    sleeper_ = nullptr;
  }
  thread_.join();
}

bool KjThread::post(Task task) {
  std::lock_guard lock(mutex_);
  if (stopped_) return false;
  tasks_.push_back(kj::mv(task));
  KJ_IF_MAYBE (sleeper, sleeper_) {
    (*sleeper)->fulfill();
  }
  sleeper_ = nullptr;
  return true;
}

kj::Promise<void> KjThread::drain(Loop& loop) {
  std::deque<Task> batch;
  kj::Promise<void> next = kj::READY_NOW;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return kj::READY_NOW;
    if (tasks_.empty()) {
      auto wakeup = kj::newPromiseAndCrossThreadFulfiller<void>();
      sleeper_ = kj::mv(wakeup.fulfiller);
      next = kj::mv(wakeup.promise);
    }
    batch.swap(tasks_);
  }
  for (auto& task : batch) report(kj::runCatchingExceptions([&] { task(loop); }));
  batch.clear();
  return next.then([this, &loop] { return drain(loop); });
}

void KjThread::report(kj::Maybe<kj::Exception> problem) {
  KJ_IF_MAYBE (exception, problem) {
    const auto text = kj::str("a task of the loop failed: ", exception->getDescription());
    if (log_) log_(kj::LogSeverity::ERROR, text.cStr());
  }
}

}  // namespace troupe::wire
