#pragma once
// Two ends of a link on one thread, in virtual time, and what tests need around them.
#include "messages/wire/session.hpp"
#include "tests/messages/wire/probe.capnp.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/debug.h>
#include <kj/exception.h>
#include <kj/timer.h>
#include <memory>
#include <string>
#include <utility>

namespace troupe::support {

/// Keeps KJ's log off stderr. (A kj::ExceptionCallback would have to be on the stack, and ASan's is
/// not.)
struct QuietKj {
  QuietKj() { kj::_::Debug::setLogLevel(kj::LogSeverity::FATAL); }
};

/// A loop without sockets whose only clock is moved by the test.
struct VirtualLoop {
  QuietKj quiet;
  kj::EventLoop loop;
  kj::WaitScope wait{loop};
  kj::TimerImpl timer{kj::origin<kj::TimePoint>()};

  /// Runs what is ready, then moves the clock, `step_ms` at a time.
  void advance(std::int64_t milliseconds, std::int64_t step_ms = 10) {
    wait.poll();
    for (; milliseconds > 0; milliseconds -= step_ms) {
      timer.advanceTo(timer.now() + std::min(step_ms, milliseconds) * kj::MILLISECONDS);
      wait.poll();
    }
  }
};

/// One end of a pipe that a test can break.
class FaultyStream final : public kj::AsyncIoStream {
 public:
  /// While set, what is written vanishes and what arrives is never told.
  FaultyStream(kj::Own<kj::AsyncIoStream> inner, std::shared_ptr<const bool> mute)
      : inner_(kj::mv(inner)), mute_(std::move(mute)) {}

  kj::Promise<std::size_t> tryRead(void* to, std::size_t least, std::size_t most) override {
    return inner_->tryRead(to, least, most)
        .then([this](std::size_t size) -> kj::Promise<std::size_t> {
          if (*mute_) return kj::NEVER_DONE;
          return size;
        });
  }
  kj::Promise<void> write(const void* from, std::size_t size) override {
    return *mute_ ? kj::Promise<void>(kj::READY_NOW) : inner_->write(from, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return *mute_ ? kj::Promise<void>(kj::READY_NOW) : inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  void abortRead() override { inner_->abortRead(); }

 private:
  kj::Own<kj::AsyncIoStream> inner_;
  const std::shared_ptr<const bool> mute_;
};

/// Answers as its schema says.
class ProbeServer final : public wire::Probe::Server {
 public:
  std::uint64_t echoes = 0;

 protected:
  kj::Promise<void> echo(EchoContext context) override {
    ++echoes;
    const auto bytes = context.getParams().getBytes();
    context.getResults(capnp::MessageSize{bytes.size() / 8 + 16, 0}).setBytes(bytes);
    return kj::READY_NOW;
  }
  kj::Promise<void> push(PushContext context) override {
    pushed_ += context.getParams().getBytes().size();
    return kj::READY_NOW;
  }
  kj::Promise<void> count(CountContext context) override {
    context.getResults().setBytes(pushed_);
    return kj::READY_NOW;
  }
  kj::Promise<void> fetch(FetchContext context) override {
    const auto size = std::min(context.getParams().getSize(), 4u << 20);
    context.getResults(capnp::MessageSize{size / 8 + 16, 0}).initBytes(size);
    return kj::READY_NOW;
  }
  kj::Promise<void> hang(HangContext) override { return kj::NEVER_DONE; }
  kj::Promise<void> call(CallContext context) override {
    auto request = context.getParams().getProbe().echoRequest();
    request.initBytes(1);
    return request.send().ignoreResult();
  }

 private:
  std::uint64_t pushed_ = 0;
};

/// What went wrong, or "" when nothing did.
inline std::string problem_of(const std::function<void()>& work) {
  std::string text;
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { work(); })) {
    text = exception->getDescription().cStr();
    if (text.empty()) text = "an exception without text";
  }
  return text;
}

}  // namespace troupe::support
