#include "actors/link/weight_inbox.hpp"

#include "messages/weight_delta.hpp"

#include <algorithm>
#include <cstring>
#include <kj/debug.h>
#include <utility>

namespace troupe {

Weights open(const Parcel& parcel) {
  std::shared_ptr<const float[]> values = parcel.values;
  const std::uint64_t elements = parcel.header.read().getElements();
  if (parcel.delta) {
    const auto changed = std::shared_ptr<float[]>(new float[elements]);
    kj::ArrayPtr<kj::byte> bytes(reinterpret_cast<kj::byte*>(changed.get()),
                                 elements * sizeof(float));
    std::memcpy(bytes.begin(), parcel.base.bytes().begin(), bytes.size());
    auto problem = kj::runCatchingExceptions([&] {
      apply_delta({parcel.delta->data(), parcel.delta->size()}, sizeof(float), bytes);
    });
    KJ_IF_MAYBE (exception, problem) {
      KJ_FAIL_REQUIRE("digest_mismatch: the changes to a version are damaged", *exception);
    }
    values = changed;
  }
  Weights weights(parcel.header, std::move(values));
  const Sha256 found = sha256(weights.bytes());
  if (weights.header().getSha256() != kj::arrayPtr(found.data(), found.size()))
    KJ_FAIL_REQUIRE("digest_mismatch: a version of the weights is damaged", weights.version());
  return weights;
}

void WeightInbox::begin(wire::WeightsHeader::Reader header) {
  header_ = {};
  values_ = nullptr;
  mapped_ = nullptr;
  delta_ = nullptr;
  filled_ = 0;
  parcel_ = {};
  auto checked = Message<wire::WeightsHeader>::copy(header);
  const std::string difference = first_difference(expected_, checked.read().getTensors());
  KJ_REQUIRE(difference.empty() && header.getElements() * sizeof(float) == bytes_,
             "weights of another model", difference);
  KJ_REQUIRE(header.getSha256().size() > 0, "weights without a SHA-256");
  header_ = std::move(checked);
}

void WeightInbox::change(kj::ArrayPtr<const kj::byte> base, std::uint64_t bytes) {
  KJ_REQUIRE(static_cast<bool>(header_) && filled_ == 0 && !mapped_ && !delta_,
             "changes out of place");
  KJ_REQUIRE(static_cast<bool>(base_) && base_.header().getSha256() == base,
             "changes to a version that is not held");
  KJ_REQUIRE(bytes <= 4 * bytes_, "changes that are larger than any can be", bytes);
  delta_ = std::make_shared<std::vector<kj::byte>>(bytes);
}

/// Where buckets go.
kj::ArrayPtr<kj::byte> WeightInbox::room() {
  if (delta_) return {delta_->data(), delta_->size()};
  if (!values_)  // not zeroed: every byte is written or nothing is used
    values_ = std::shared_ptr<float[]>(new float[bytes_ / sizeof(float)]);
  return {reinterpret_cast<kj::byte*>(values_.get()), bytes_};
}

void WeightInbox::bucket(std::uint64_t offset, kj::ArrayPtr<const kj::byte> bytes,
                         kj::ArrayPtr<const kj::byte> digest) {
  const std::uint64_t size = delta_ ? delta_->size() : bytes_;
  KJ_REQUIRE(
      static_cast<bool>(header_) && !mapped_ && offset == filled_ && bytes.size() <= size - filled_,
      "a bucket out of place", offset);
  const wire::BucketDigest found = wire::bucket_digest(bytes);
  const bool intact =
      digest.size() == found.size() && std::equal(found.begin(), found.end(), digest.begin());
  if (!intact) {
    header_ = {};
    KJ_FAIL_REQUIRE("digest_mismatch: a bucket of weights is damaged", offset);
  }
  std::copy(bytes.begin(), bytes.end(), room().begin() + offset);
  filled_ += bytes.size();
  received_ += bytes.size();
}

void WeightInbox::map(std::shared_ptr<const float[]> values) {
  KJ_REQUIRE(static_cast<bool>(header_) && filled_ == 0 && !delta_, "memory out of place");
  mapped_ = std::move(values);
  received_ += bytes_;
}

void WeightInbox::commit() {
  const bool complete = mapped_ || (delta_ ? filled_ == delta_->size() : filled_ == bytes_);
  KJ_REQUIRE(static_cast<bool>(header_) && complete, "weights are not complete", filled_);
  parcel_ = {std::exchange(header_, {}), nullptr, delta_, {}};
  if (delta_)
    parcel_.base = base_;
  else
    parcel_.values = mapped_ ? mapped_ : values_;
}

}  // namespace troupe
