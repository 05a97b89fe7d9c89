#include "actors/link/digest_book.hpp"

namespace troupe {

Digests digests_of(wire::WeightsHeader::Reader header) {
  const auto sha256 = header.getSha256();
  return {{reinterpret_cast<const char*>(sha256.begin()), sha256.size()}, header.getDigest()};
}

void DigestBook::note(wire::WeightsHeader::Reader attested) {
  digests_[attested.getVersion()] = digests_of(attested);
  if (digests_.size() > kVersions) digests_.erase(digests_.begin());
}

Digests DigestBook::find(std::uint64_t version) const {
  const auto found = digests_.find(version);
  return found == digests_.end() ? Digests{} : found->second;
}

Vouched vouch(wire::WeightsHeader::Reader got, std::uint64_t at_least, const Digests& witness,
              std::uint64_t newest) {
  if (got.getVersion() < at_least) return Vouched::older;
  if (!witness.sha256.empty()) return digests_of(got) == witness ? Vouched::good : Vouched::forged;
  return got.getVersion() < newest ? Vouched::skipped : Vouched::unknown;
}

}  // namespace troupe
