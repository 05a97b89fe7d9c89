#pragma once
// What the newest versions of the weights hash to, as this process has seen for itself. A plain struct.
#include "messages/sha256.hpp"

#include <cstdint>
#include <kj/common.h>
#include <map>

namespace troupe {

class DigestBook {
 public:
  /// Who asks is at most as far behind as the staleness bound allows, and no run sets that to more.
  static constexpr std::size_t kVersions = 256;

  /// REQUIRES: 32 bytes.
  void note(std::uint64_t version, kj::ArrayPtr<const kj::byte> sha256);
  /// Null: not seen, or too long ago.
  const Sha256* find(std::uint64_t version) const;
  /// It may yet come.
  bool awaits(std::uint64_t version) const {
    return digests_.empty() || version > digests_.rbegin()->first;
  }

 private:
  std::map<std::uint64_t, Sha256> digests_;
};

}  // namespace troupe
