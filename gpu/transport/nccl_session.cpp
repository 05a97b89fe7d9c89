#include "gpu/transport/nccl_session.hpp"

#include <thread>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr std::chrono::microseconds kPause{50};      // between two questions
constexpr std::chrono::milliseconds kPatience{100};  // for a call of NCCL that blocks an abort

}  // namespace

NcclSession::NcclSession(const NcclApi& api, const NcclPlace& place,
                         std::shared_ptr<DeviceStream> stream, std::chrono::milliseconds deadline)
    : api_(api),
      place_(place),
      stream_(std::move(stream)),
      deadline_(deadline),
      watchdog_(deadline, [this] {
        abort("not done within " + std::to_string(deadline_.count()) +
              " ms: a rank is lost or hangs");
      }) {
  init();
}

NcclSession::~NcclSession() {
  leave();
}

void NcclSession::init() {
  constexpr const char* kName = "init";
  NcclConfig config;
  config.blocking = 0;
  watchdog_.arm();
  int result = nccl_success;
  {
    const std::lock_guard lock(library_);
    result = api_.init(&comm_, place_.size, place_.id, place_.rank, &config);
  }
  check(kName, result);
  wait_for(kName, [this, name = kName] { return settled(name); });
  watchdog_.disarm();
}

void NcclSession::run(const char* name, const Give& give) {
  watchdog_.arm();
  if (const std::string why = problem(); !why.empty()) fail(name, why);
  int result = nccl_success;
  {
    const std::lock_guard lock(library_);
    result = give(api_, comm_, stream_->handle());
  }
  check(name, result);
  wait_for(name, [&] { return settled(name); });
  // An error of a peer shows in the communicator, not in the stream.
  wait_for(name, [&] { return stream_->idle() || (settled(name), false); });
  watchdog_.disarm();
}

void NcclSession::wait_for(const char* name, const std::function<bool()>& done) {
  while (!done()) {
    if (const std::string why = problem(); !why.empty()) fail(name, why);
    std::this_thread::sleep_for(kPause);
  }
  if (const std::string why = problem(); !why.empty()) fail(name, why);
}

/// Whether NCCL has taken the work over.
bool NcclSession::settled(const char* name) {
  const int state = ask();
  check(name, state);
  return state == nccl_success;
}

/// After an abort there is nobody to ask.
int NcclSession::ask() {
  const std::lock_guard lock(library_);
  if (!problem().empty()) return nccl_in_progress;
  int state = nccl_success;
  const int result = api_.async_error(comm_, &state);
  return result == nccl_success ? state : result;
}

/// What was agreed is torn down in peace, unless that takes too long.
void NcclSession::leave() {
  if (!problem().empty()) return;
  watchdog_.arm();
  int state = nccl_success;
  {
    const std::lock_guard lock(library_);
    state = api_.finalize(comm_);
  }
  while (state == nccl_in_progress && problem().empty()) {
    std::this_thread::sleep_for(kPause);
    state = ask();
  }
  watchdog_.disarm();
  if (state == nccl_success && problem().empty()) api_.destroy(comm_);
}

void NcclSession::abort(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!problem_.empty()) return;
    problem_ = why;
  }
  // Whoever asks sees the problem and asks no more. Who does not come back from a call is released
  // by the abort: NCCL allows it from another thread.
  const bool alone = library_.try_lock_for(kPatience);
  if (comm_ != nullptr) api_.abort(comm_);
  if (alone) library_.unlock();
}

void NcclSession::check(const char* name, int result) {
  if (result == nccl_success || result == nccl_in_progress) return;
  if (const std::string why = problem(); !why.empty()) fail(name, why);
  const char* detail = api_.last_error(comm_);
  fail(name, std::string(api_.error_text(result)) +
                 (detail == nullptr || *detail == '\0' ? "" : std::string(": ") + detail));
}

void NcclSession::fail(const char* name, const std::string& why) {
  abort(why);
  watchdog_.disarm();
  throw LostRank("rank " + std::to_string(place_.rank) + " of " + std::to_string(place_.size) +
                 ": NCCL " + name + ": " + why);
}

std::string NcclSession::problem() {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace troupe::gpu
