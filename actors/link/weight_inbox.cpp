#include "actors/link/weight_inbox.hpp"

#include <algorithm>
#include <cstring>
#include <kj/debug.h>

namespace troupe {

void WeightInbox::begin(std::uint64_t version, std::uint64_t elements, const std::string& digest) {
  KJ_REQUIRE(elements == elements_, "weights of another model", elements, elements_);
  version_ = version;
  digest_ = digest;
  filled_ = 0;
  values_ = std::shared_ptr<float[]>(
      new float[elements_]);  // not zeroed: every byte is written or nothing is used
  weights_ = {};
}

void WeightInbox::bucket(std::uint64_t offset, kj::ArrayPtr<const kj::byte> bytes,
                         kj::ArrayPtr<const kj::byte> digest) {
  const std::uint64_t size = elements_ * sizeof(float);
  KJ_REQUIRE(values_ != nullptr && offset == filled_ && bytes.size() <= size - filled_,
             "a bucket out of place", offset);
  const wire::BucketDigest found = wire::bucket_digest(bytes);
  const bool intact =
      digest.size() == found.size() && std::equal(found.begin(), found.end(), digest.begin());
  if (!intact) {
    values_ = nullptr;
    KJ_FAIL_REQUIRE("digest_mismatch: a bucket of weights is damaged", offset);
  }
  std::memcpy(reinterpret_cast<kj::byte*>(values_.get()) + offset, bytes.begin(), bytes.size());
  filled_ += bytes.size();
  received_ += bytes.size();
}

void WeightInbox::commit() {
  KJ_REQUIRE(values_ != nullptr && filled_ == elements_ * sizeof(float), "weights are not complete",
             filled_);
  weights_ = Weights(version_, digest_, values_, elements_);
  values_ = nullptr;
}

}  // namespace troupe
