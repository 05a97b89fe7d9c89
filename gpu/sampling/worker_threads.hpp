#pragma once
// Threads that do one thing together and then wait for the next.
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe::gpu {

/// Used by one thread at a time, which is one of the workers. They wait without spinning, since
/// cores are shared.
class WorkerThreads {
 public:
  /// count: the caller among them, at least 1.
  explicit WorkerThreads(std::size_t count);
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  std::size_t count() const { return threads_.size() + 1; }
  /// body(i) once for each i < count, body(0) on the calling thread; returns when all have ended.
  /// REQUIRES: count <= count(), and that no body throws.
  void run(std::size_t count, const std::function<void(std::size_t)>& body);

 private:
  void work(std::size_t index);

  std::mutex mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(std::size_t)>* body_ = nullptr;
  std::size_t wanted_ = 0, running_ = 0, round_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace troupe::gpu
