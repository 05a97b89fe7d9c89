#pragma once
// Where NCCL's buffers are, and the library that moves them: what a process needs to take part.
#include "gpu/transport/nccl_api.hpp"
#include "gpu/transport/nccl_communicator.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace troupe::gpu {

/// Memory that NCCL reaches, on one device. Safe from any thread. Errors: throws gpu::Error, a device's failure.
class NcclDevice {
 public:
  virtual ~NcclDevice() = default;
  /// Of the GPU, the same for all its users: two ranks of a group need two.
  virtual std::string identity() const = 0;
  /// A queue of its own, apart from all computing.
  virtual std::shared_ptr<DeviceStream> stream() = 0;
  /// Of the device. Not set to anything.
  virtual std::shared_ptr<float[]> allocate(std::size_t floats) = 0;
  /// Between the device's memory and the machine's, either way. Waits, and for nothing else that the device does.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Whether NCCL reaches what lies there.
  virtual bool owns(const void* memory) const = 0;
  /// Waits for all that the device was given: then its memory holds what was computed.
  virtual void settle() = 0;
};

struct NcclLibrary {
  NcclApi api;
  std::shared_ptr<NcclDevice> device;
};

/// `file`: as dlopen looks it up, loaded for good. `device`: "cuda:N"; or any, if the library says by a function called
/// troupe_nccl_host_idle that its buffers are in the machine's memory: it then tells of a stream whether all given to it is done.
/// Errors: throws gpu::Error naming what is missing and what to do.
std::shared_ptr<const NcclLibrary> open_nccl(const std::string& file, const std::string& device);

}  // namespace troupe::gpu
