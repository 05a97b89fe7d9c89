#pragma once
// A communicator of devices for buffers that lie in the machine's memory as well.
#include "gpu/transport/communicator.hpp"
#include "gpu/transport/nccl_device.hpp"

#include <cstddef>
#include <memory>

namespace troupe::gpu {

constexpr std::size_t kStagedFloats = std::size_t{8} << 20;  // 32 MiB

/// Spans of the device's memory are handed to `inner` as they are, once the device has done what it
/// was given. All others go through two buckets of the device, of `bucket_floats` each: while one is
/// exchanged, a second thread empties and fills the other. Sums and errors are those of `inner`.
/// On all ranks buckets are of equal size and spans of a call lie alike.
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> inner,
                                                       std::shared_ptr<NcclDevice> device,
                                                       std::size_t bucket_floats = kStagedFloats);

}  // namespace troupe::gpu
