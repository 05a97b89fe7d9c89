#pragma once
// What the newest versions of the weights hash to, as this process has seen for itself. Plain rules.
#include "messages/weights.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace troupe {

/// As in a version's header.
struct Digests {
  std::string sha256{};  // 32 bytes; empty: the version is not known
  std::string digest{};
  bool operator==(const Digests&) const = default;
};

Digests digests_of(wire::WeightsHeader::Reader header);

class DigestBook {
 public:
  /// Who asks is at most as far behind as the staleness bound allows, and no run sets that to more.
  static constexpr std::size_t kVersions = 256;

  void note(wire::WeightsHeader::Reader attested);
  /// Empty: not seen, or too long ago.
  Digests find(std::uint64_t version) const;
  /// Of what was noted; 0: nothing was.
  std::uint64_t newest() const { return digests_.empty() ? 0 : digests_.rbegin()->first; }
  /// It may yet come.
  bool awaits(std::uint64_t version) const { return digests_.empty() || version > newest(); }

 private:
  std::map<std::uint64_t, Digests> digests_;
};

/// What to make of a version that came from somebody who is not trusted.
enum class Vouched {
  good,
  older,    // than what was asked for
  forged,   // it was not published like that
  skipped,  // the witness has not seen this one, though newer ones
  unknown,  // the witness has not seen anything so new
};
/// witness: what it knows of that version; newest: and the newest version that it has seen.
Vouched vouch(wire::WeightsHeader::Reader got, std::uint64_t at_least, const Digests& witness,
              std::uint64_t newest);

}  // namespace troupe
