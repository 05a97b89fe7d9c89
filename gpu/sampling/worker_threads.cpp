#include "gpu/sampling/worker_threads.hpp"

namespace troupe::gpu {

WorkerThreads::WorkerThreads(std::size_t count) {
  for (std::size_t i = 1; i < count; ++i) threads_.emplace_back([this, i] { work(i); });
}

WorkerThreads::~WorkerThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  begin_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerThreads::run(std::size_t count, const std::function<void(std::size_t)>& body) {
  if (count > 1) {
    const std::lock_guard lock(mutex_);
    body_ = &body;
    wanted_ = count;
    running_ = count - 1;
    ++round_;
  }
  if (count > 1) begin_.notify_all();
  if (count > 0) body(0);
  if (count < 2) return;
  std::unique_lock lock(mutex_);
  end_.wait(lock, [this] { return running_ == 0; });
}

void WorkerThreads::work(std::size_t index) {
  std::unique_lock lock(mutex_);
  for (std::size_t seen = 0;;) {
    begin_.wait(lock, [&] { return stopping_ || round_ != seen; });
    if (stopping_) return;
    seen = round_;
    if (index >= wanted_) continue;
    lock.unlock();
    (*body_)(index);
    lock.lock();
    if (--running_ == 0) end_.notify_one();
  }
}

}  // namespace troupe::gpu
