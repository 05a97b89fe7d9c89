#pragma once
// The communicator of ranks with a GPU each.
#include "gpu/transport/communicator.hpp"
#include "gpu/transport/nccl_api.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace troupe::gpu {

/// A queue of device work. Used by the communicator's thread.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  virtual void* handle() = 0;    // cudaStream_t
  virtual float* scratch() = 0;  // one float of the device's memory, for meeting others
  /// True once all work given to it is done; never waits. Errors: gpu::Error, a device's failure.
  virtual bool idle() = 0;
};

/// A rank's place, agreed over the link; `id` is that of load_nccl().unique_id of one of them.
struct NcclPlace {
  int rank = 0, size = 1;
  NcclId id;
};

/// Spans lie in the memory of the stream's device. Returns once all ranks have come, by the
/// deadline. Calls of NCCL do not block: they are asked about until they are done, and so is the
/// stream; a watchdog aborts what exceeds the deadline, even a call that does not come back. A sum
/// is NCCL's own: the same in every run while its algorithm is (NCCL_ALGO=Ring).
/// Errors: LostRank, from here too.
std::unique_ptr<Communicator> make_nccl_communicator(const NcclApi& api, const NcclPlace& place,
                                                     std::shared_ptr<DeviceStream> stream,
                                                     std::chrono::milliseconds deadline);

}  // namespace troupe::gpu
