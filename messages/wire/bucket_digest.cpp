#include "messages/wire/bucket_digest.hpp"

#include <xxhash.h>

#include <algorithm>
#include <iterator>

namespace troupe::wire {

BucketDigest bucket_digest(kj::ArrayPtr<const kj::byte> bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.begin(), bytes.size()));
  BucketDigest digest{};
  std::copy(std::begin(canonical.digest), std::end(canonical.digest), digest.begin());
  return digest;
}

}  // namespace troupe::wire
