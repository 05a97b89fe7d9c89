#pragma once
// Published weights: a checked header and, beside it, the values.
#include "messages/message.hpp"
#include "messages/sha256.hpp"
#include "messages/weight_manifest.hpp"
#include "messages/weights.capnp.h"

#include <cstdint>
#include <memory>
#include <string>

namespace troupe {

namespace wire {
/// Errors: throws kj::Exception.
void validate(WeightsHeader::Reader header);
}  // namespace wire

/// Immutable and shared; cheap to copy. Safe from any thread.
class Weights {
 public:
  Weights() = default;
  /// values: `elements` floats. digest: of the values, see weights.capnp.
  Weights(std::uint64_t version, const std::string& digest, std::shared_ptr<const float[]> values,
          std::uint64_t elements);
  /// values: as many as the header says.
  Weights(Message<wire::WeightsHeader> header, std::shared_ptr<const float[]> values);

  explicit operator bool() const { return static_cast<bool>(header_); }
  wire::WeightsHeader::Reader header() const { return header_.read(); }
  std::uint64_t version() const { return header_.read().getVersion(); }
  std::uint64_t elements() const { return header_.read().getElements(); }
  std::string digest() const { return header_.read().getDigest(); }
  const std::shared_ptr<const float[]>& values() const { return values_; }
  /// The values as they lie in memory. REQUIRES: not empty.
  kj::ArrayPtr<const kj::byte> bytes() const {
    return {reinterpret_cast<const kj::byte*>(values_.get()), elements() * sizeof(float)};
  }

 private:
  Message<wire::WeightsHeader> header_;
  std::shared_ptr<const float[]> values_;
};

/// The same version with a header that other processes can check: manifest and SHA-256 of the values. Reads all values.
/// Errors: throws kj::Exception if the manifest is not of these weights.
Weights attested(const Weights& weights, const WeightManifest& manifest);

}  // namespace troupe
