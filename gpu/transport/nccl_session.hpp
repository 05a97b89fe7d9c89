#pragma once
// One ncclComm_t: asking until it is done, and ending it from another thread.
#include "gpu/transport/nccl_communicator.hpp"
#include "gpu/transport/watchdog.hpp"

#include <functional>
#include <mutex>
#include <string>

namespace troupe::gpu {

/// `run` by one thread, `abort` by any. Errors: LostRank.
class NcclSession {
 public:
  NcclSession(const NcclApi& api, const NcclPlace& place, std::shared_ptr<DeviceStream> stream,
              std::chrono::milliseconds deadline);
  ~NcclSession();

  /// Gives work to NCCL and waits until it is done. `give` returns NCCL's answer.
  using Give = std::function<int(const NcclApi& api, NcclComm comm, void* stream)>;
  void run(const char* name, const Give& give);
  void abort(const std::string& why);
  DeviceStream& stream() { return *stream_; }

 private:
  void init();
  void wait_for(const char* name, const std::function<bool()>& done);
  bool settled(const char* name);
  int ask();
  void leave();
  void check(const char* name, int result);
  [[noreturn]] void fail(const char* name, const std::string& why);
  std::string problem();

  const NcclApi api_;
  NcclPlace place_;
  const std::shared_ptr<DeviceStream> stream_;
  const std::chrono::milliseconds deadline_;
  std::timed_mutex library_;  // held while in a call with comm_; abort breaks it after a while
  NcclComm comm_ = nullptr;
  std::mutex mutex_;  // guards problem_
  std::string problem_;
  Watchdog watchdog_;
};

}  // namespace troupe::gpu
