#pragma once
// The communicator of ranks that are threads of one process.
#include "gpu/transport/communicator.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace troupe::gpu {

/// The ends of ranks 0 .. size - 1, which read each other's buffers. They share what they meet at
/// and may be destroyed in any order.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(
    int size, std::chrono::milliseconds deadline);

}  // namespace troupe::gpu
