#pragma once
// A desk on a loop of its own, as other threads hold it.
#include "messages/wire/kj_thread.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace troupe {

/// Safe from any thread. Shared with actors that may outlive the loop: what they post then is dropped. `Desk` lives on the
/// loop; `End` says why it has nothing left to do.
template <class Desk, class End>
class DeskHost : public std::enable_shared_from_this<DeskHost<Desk, End>> {
 public:
  using Work = std::function<void(Desk&)>;
  using Post = std::function<void(Work)>;
  using Finish = std::function<void(End)>;
  using Make = std::function<kj::Own<Desk>(wire::Loop&, Post, Finish)>;

  /// Errors: throws what `make` throws, on the loop.
  void start(const Make& make, wire::KjThread::Log log) {
    const std::lock_guard lock(loop_mutex_);  // who posts meanwhile waits until there is a loop
    const auto self = this->shared_from_this();
    loop_ = std::make_unique<wire::KjThread>(
        [&, self](wire::Loop& on) -> kj::Own<void> {
          auto desk = make(
              on, [self](Work work) { self->post(std::move(work)); },
              [self](End end) { self->finish(std::move(end)); });
          self->desk_ = desk.get();
          return desk;
        },
        std::move(log));
  }
  void post(Work work) {
    const std::lock_guard lock(loop_mutex_);
    if (loop_) loop_->post([this, work = std::move(work)](wire::Loop&) { work(*desk_); });
  }
  End wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return end_.has_value(); });
    return *end_;
  }
  void stop() {
    std::unique_ptr<wire::KjThread> loop;  // ends outside of the lock, which tasks on the loop take
    const std::lock_guard lock(loop_mutex_);
    loop = std::move(loop_);
  }

 private:
  void finish(End end) {
    const std::lock_guard guard(mutex_);
    end_ = std::move(end);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<End> end_;
  std::mutex loop_mutex_;  // guards loop_
  std::unique_ptr<wire::KjThread> loop_;
  Desk* desk_ = nullptr;  // a name; used on the loop only
};

}  // namespace troupe
