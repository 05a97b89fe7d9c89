#include "actors/link/rank_stream.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace troupe {
namespace {

class Pump;

/// What both threads see.
struct Shared {
  Pump* pump = nullptr;  // the loop's only; null once it is gone
  std::mutex mutex;      // guards what follows
  std::condition_variable changed;
  std::vector<std::byte> out, in;
  std::size_t taken = 0;    // of `in`
  std::size_t writing = 0;  // bytes that left `out` and are not yet with the system
  std::string problem;

  void end(const std::string& why) {
    const std::lock_guard lock(mutex);
    if (problem.empty()) problem = why;
    changed.notify_all();
  }
};

/// Moves bytes between `io` and Shared. Lives on the loop.
class Pump {
 public:
  Pump(std::shared_ptr<Shared> shared, kj::Own<kj::AsyncIoStream> io)
      : shared_(std::move(shared)), io_(kj::mv(io)), buffer_(kj::heapArray<kj::byte>(256 << 10)) {
    shared_->pump = this;
  }
  ~Pump() {
    shared_->pump = nullptr;
    shared_->end("the connection is closed");
  }

  kj::Promise<void> run() {
    auto closed = kj::newPromiseAndFulfiller<void>();
    close_ = kj::mv(closed.fulfiller);
    return read().exclusiveJoin(write()).exclusiveJoin(kj::mv(closed.promise));
  }
  /// There is something to write, or room to read into.
  void wake() {
    if (idle_writer_.get() != nullptr) idle_writer_->fulfill();
    if (idle_reader_.get() != nullptr) idle_reader_->fulfill();
  }
  void close() { close_->fulfill(); }

 private:
  kj::Promise<void> read() {
    if (!room()) {
      auto wait = kj::newPromiseAndFulfiller<void>();
      idle_reader_ = kj::mv(wait.fulfiller);
      return wait.promise.then([this] { return read(); });
    }
    return io_->tryRead(buffer_.begin(), 1, buffer_.size())
        .then([this](std::size_t size) -> kj::Promise<void> {
          if (size == 0) return kj::READY_NOW;
          const auto* bytes = reinterpret_cast<const std::byte*>(buffer_.begin());
          {
            const std::lock_guard lock(shared_->mutex);
            shared_->in.insert(shared_->in.end(), bytes, bytes + size);
          }
          shared_->changed.notify_all();
          return read();
        });
  }

  kj::Promise<void> write() {
    {
      const std::lock_guard lock(shared_->mutex);
      leaving_.clear();
      std::swap(leaving_, shared_->out);
      shared_->writing = leaving_.size();
    }
    shared_->changed.notify_all();
    if (leaving_.empty()) {
      auto wait = kj::newPromiseAndFulfiller<void>();
      idle_writer_ = kj::mv(wait.fulfiller);
      return wait.promise.then([this] { return write(); });
    }
    return io_->write(leaving_.data(), leaving_.size()).then([this] { return write(); });
  }

  bool room() {
    const std::lock_guard lock(shared_->mutex);
    return shared_->in.size() - shared_->taken < gpu::ByteStream::kQueueBytes;
  }

  const std::shared_ptr<Shared> shared_;
  kj::Own<kj::AsyncIoStream> io_;
  kj::Array<kj::byte> buffer_;
  std::vector<std::byte> leaving_;
  kj::Own<kj::PromiseFulfiller<void>> close_;
  kj::Own<kj::PromiseFulfiller<void>> idle_reader_, idle_writer_;  // null until there is one
};

class LoopStream final : public gpu::ByteStream {
 public:
  LoopStream(wire::Courier& courier, std::shared_ptr<Shared> shared)
      : courier_(courier), shared_(std::move(shared)) {}
  ~LoopStream() override { close("the rank has left"); }

  std::string send(std::span<const std::byte> bytes, Time deadline) override {
    {
      std::unique_lock lock(shared_->mutex);
      const bool room = shared_->changed.wait_until(lock, deadline, [this] {
        return shared_->out.size() + shared_->writing <= kQueueBytes || !shared_->problem.empty();
      });
      if (!shared_->problem.empty()) return shared_->problem;
      if (!room) return "takes nothing any more";
      shared_->out.insert(shared_->out.end(), bytes.begin(), bytes.end());
    }
    wake();
    return "";
  }

  /// What came before the end of the connection is still good.
  std::string receive(std::span<std::byte> bytes, Time deadline) override {
    while (!bytes.empty()) {
      {
        std::unique_lock lock(shared_->mutex);
        const bool here = shared_->changed.wait_until(lock, deadline, [this] {
          return shared_->in.size() > shared_->taken || !shared_->problem.empty();
        });
        if (!here) return "sent nothing in time";
        if (shared_->in.size() == shared_->taken) return shared_->problem;
        bytes = bytes.subspan(take(bytes));
      }
      wake();
    }
    return "";
  }

  void close(const std::string& why) override {
    shared_->end(why);
    courier_.post([shared = shared_](wire::Loop&) {
      if (shared->pump != nullptr) shared->pump->close();
    });
  }

 private:
  std::size_t take(std::span<std::byte> bytes) {
    const std::size_t count = std::min(bytes.size(), shared_->in.size() - shared_->taken);
    std::memcpy(bytes.data(), shared_->in.data() + shared_->taken, count);
    shared_->taken += count;
    if (shared_->taken == shared_->in.size()) {
      shared_->in.clear();
      shared_->taken = 0;
    }
    return count;
  }

  void wake() {
    courier_.post([shared = shared_](wire::Loop&) {
      if (shared->pump != nullptr) shared->pump->wake();
    });
  }

  wire::Courier& courier_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

RankStream rank_stream(wire::Courier& courier, kj::Own<kj::AsyncIoStream> io) {
  const auto shared = std::make_shared<Shared>();
  auto pump = kj::heap<Pump>(shared, kj::mv(io));
  auto running = pump->run()
                     .then([shared] { shared->end("the other side closed the connection"); })
                     .catch_([shared](kj::Exception&& problem) {
                       shared->end(problem.getDescription().cStr());
                     })
                     .attach(kj::mv(pump))
                     .eagerlyEvaluate(nullptr);
  return {std::make_shared<LoopStream>(courier, shared), kj::mv(running)};
}

}  // namespace troupe
