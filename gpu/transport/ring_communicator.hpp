#pragma once
// The communicator of ranks that are joined to a ring by byte streams.
#include "gpu/transport/byte_stream.hpp"
#include "gpu/transport/communicator.hpp"

#include <chrono>
#include <memory>

namespace troupe::gpu {

/// A rank's place: it sends to rank + 1 and receives from rank - 1, modulo size. Of two ranks both
/// streams are one and the same; of one there are none.
struct RingPlace {
  int rank = 0, size = 1;
  std::shared_ptr<ByteStream> next, previous;
};

/// A sum goes along the ring from rank 0 to the last, each adding its values, and from there round
/// once more as the result: every link carries a buffer at most twice, in slices, so that all links
/// are busy at once. The first loss closes both streams, so that it goes round the ring.
std::unique_ptr<Communicator> make_ring_communicator(RingPlace place,
                                                     std::chrono::milliseconds deadline);

}  // namespace troupe::gpu
