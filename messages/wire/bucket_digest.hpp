#pragma once
// Digest of one bucket of weights on its way.
#include <array>
#include <kj/common.h>

namespace troupe::wire {

/// XXH3-128, big endian. Any thread.
using BucketDigest = std::array<kj::byte, 16>;
BucketDigest bucket_digest(kj::ArrayPtr<const kj::byte> bytes);

}  // namespace troupe::wire
