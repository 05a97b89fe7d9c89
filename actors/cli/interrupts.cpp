#include "actors/cli/interrupts.hpp"

#include "actors/cli/commands.hpp"

#include <pthread.h>
#include <unistd.h>
#include <utility>

namespace troupe {

Interrupts::Interrupts() {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe must not cost the model
  sigemptyset(&set_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  thread_ = std::thread([this] { watch(); });
}

Interrupts::~Interrupts() {
  ended_ = true;
  thread_.join();
}

void Interrupts::tell(std::function<void()> stop) {
  const std::lock_guard lock(mutex_);
  stop_ = std::move(stop);
}

void Interrupts::watch() {
  constexpr timespec kInterval{0, 100'000'000};
  for (int count = 0; !ended_;) {
    const int signal = sigtimedwait(&set_, nullptr, &kInterval);
    if (signal < 0) continue;
    if (count == 0) received_ = signal;
    const std::lock_guard lock(mutex_);
    if (count++ > 0 || !stop_) _exit(exit_interrupted);
    stop_();
  }
}

}  // namespace troupe
