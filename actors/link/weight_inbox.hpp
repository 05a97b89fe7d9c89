#pragma once
// One version of the weights on its way in. Plain rules.
#include "messages/weights.hpp"
#include "messages/wire/bucket_digest.hpp"

#include <cstdint>
#include <functional>
#include <kj/common.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// A version as it came, its values not yet compared with its SHA-256.
struct Parcel {
  Message<wire::WeightsHeader> header;
  std::shared_ptr<const float[]> values;               // null: changes to `base` instead
  std::shared_ptr<const std::vector<kj::byte>> delta;  // messages/weight_delta.hpp
  Weights base;

  explicit operator bool() const { return static_cast<bool>(header); }
};

/// The attested version. Reads, and for a delta copies, all values: never on a loop.
/// Errors: throws kj::Exception, whose text begins with digest_mismatch, if the values are not those that were published.
Weights open(const Parcel& parcel);

/// Takes a header and then, in order into one flat buffer, buckets; or memory; or the buckets of a delta. Used by one
/// thread at a time. Errors: throws kj::Exception, whose text begins with digest_mismatch if a bucket's values do not hash
/// to its digest; what was received is void then.
class WeightInbox {
 public:
  /// expected: weights of another model are refused before memory is taken. base: what is held, if anything.
  explicit WeightInbox(WeightManifest expected, Weights base = {})
      : expected_(std::move(expected)), bytes_(bytes_of(expected_)), base_(std::move(base)) {}

  void begin(wire::WeightsHeader::Reader header);
  /// The buckets that follow are a delta.
  void change(kj::ArrayPtr<const kj::byte> base, std::uint64_t bytes);
  void bucket(std::uint64_t offset, kj::ArrayPtr<const kj::byte> bytes,
              kj::ArrayPtr<const kj::byte> digest);
  /// All values at once. REQUIRES: `bytes()` of them, which nobody changes.
  void map(std::shared_ptr<const float[]> values);
  /// REQUIRES of the peer: everything has come.
  void commit();

  /// Empty until committed.
  const Parcel& parcel() const { return parcel_; }
  /// Size of a version.
  std::uint64_t bytes() const { return bytes_; }
  /// Since the beginning, to see that it moves.
  std::uint64_t received_bytes() const { return received_ + (elsewhere_ ? elsewhere_() : 0); }
  /// Values come another way than by calls of this: that tells how many bytes have.
  void moves(std::function<std::uint64_t()> elsewhere) { elsewhere_ = std::move(elsewhere); }

 private:
  kj::ArrayPtr<kj::byte> room();

  const WeightManifest expected_;
  const std::uint64_t bytes_;
  const Weights base_;
  Message<wire::WeightsHeader> header_;  // of what is under way
  std::shared_ptr<float[]> values_;      // from the first bucket on
  std::shared_ptr<const float[]> mapped_;
  std::shared_ptr<std::vector<kj::byte>> delta_;  // from change on
  std::uint64_t filled_ = 0, received_ = 0;
  std::function<std::uint64_t()> elsewhere_;
  Parcel parcel_;
};

}  // namespace troupe
