#pragma once
// One version of the weights on its way in. Plain rules.
#include "messages/weights.hpp"
#include "messages/wire/bucket_digest.hpp"

#include <cstdint>
#include <kj/common.h>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

/// Takes buckets in order into one flat buffer. Used by one thread at a time.
/// Errors: throws kj::Exception, whose text begins with digest_mismatch if a bucket's values do not hash to its digest;
/// what was received is void then.
class WeightInbox {
 public:
  /// elements: of the model; others are refused before memory is taken.
  explicit WeightInbox(std::uint64_t elements) : elements_(elements) {}

  void begin(std::uint64_t version, std::uint64_t elements, const std::string& digest);
  void bucket(std::uint64_t offset, kj::ArrayPtr<const kj::byte> bytes,
              kj::ArrayPtr<const kj::byte> digest);
  /// REQUIRES of the peer: everything has come.
  void commit();
  /// Empty until committed.
  const Weights& weights() const { return weights_; }
  std::uint64_t received_bytes() const {
    return received_;
  }  // since the beginning, to see that it moves

 private:
  std::uint64_t elements_, version_ = 0, filled_ = 0, received_ = 0;
  std::string digest_;
  std::shared_ptr<float[]> values_;
  Weights weights_;
};

}  // namespace troupe
