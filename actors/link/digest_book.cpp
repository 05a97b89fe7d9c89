#include "actors/link/digest_book.hpp"

#include <algorithm>
#include <kj/debug.h>

namespace troupe {

void DigestBook::note(std::uint64_t version, kj::ArrayPtr<const kj::byte> sha256) {
  Sha256& digest = digests_[version];
  KJ_REQUIRE(sha256.size() == digest.size(), "no SHA-256");
  std::copy(sha256.begin(), sha256.end(), digest.begin());
  if (digests_.size() > kVersions) digests_.erase(digests_.begin());
}

const Sha256* DigestBook::find(std::uint64_t version) const {
  const auto found = digests_.find(version);
  return found == digests_.end() ? nullptr : &found->second;
}

}  // namespace troupe
