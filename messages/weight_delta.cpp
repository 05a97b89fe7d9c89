#include "messages/weight_delta.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <kj/debug.h>

namespace troupe {
namespace {

constexpr std::size_t kBlockBytes = 64;  // compared at once where nothing changed
constexpr std::size_t kLongestGap = 10;  // bytes of a 64-bit number in LEB128

/// Appends changes; `end` is the element after the last change.
struct Encoder {
  std::vector<kj::byte> code{};
  std::uint64_t end = 0;

  void add(std::uint64_t element, const kj::byte* bits, std::size_t bytes) {
    constexpr unsigned kMore = 0x80, kBits = 7;
    std::uint64_t gap = element - end;
    for (; gap >= kMore; gap >>= kBits) code.push_back(static_cast<kj::byte>(gap | kMore));
    code.push_back(static_cast<kj::byte>(gap));
    code.insert(code.end(), bits, bits + bytes);
    end = element + 1;
  }
};

/// Takes the gap at `at` off the code. Errors: throws kj::Exception.
std::uint64_t take_gap(kj::ArrayPtr<const kj::byte> delta, std::size_t& at) {
  constexpr unsigned kMore = 0x80, kBits = 7;
  std::uint64_t gap = 0;
  for (std::size_t i = 0;; ++i) {
    KJ_REQUIRE(at < delta.size() && i < kLongestGap, "a delta that is cut short");
    const kj::byte byte = delta[at++];
    gap |= static_cast<std::uint64_t>(byte & (kMore - 1)) << (kBits * i);
    if ((byte & kMore) == 0) return gap;
  }
}

/// Bytes of the code, from one block in kSampled.
double estimate(kj::ArrayPtr<const kj::byte> before, kj::ArrayPtr<const kj::byte> after,
                std::size_t element_bytes) {
  constexpr std::size_t kSampled = 64;
  std::size_t changes = 0;
  for (std::size_t block = 0; block < after.size(); block += kSampled * kBlockBytes) {
    const std::size_t end = std::min(block + kBlockBytes, after.size());
    for (std::size_t at = block; at < end; at += element_bytes)
      changes += std::memcmp(before.begin() + at, after.begin() + at, element_bytes) != 0 ? 1 : 0;
  }
  return static_cast<double>(changes * (element_bytes + 1)) * kSampled;
}

void require_sizes(std::size_t element_bytes, std::size_t bytes) {
  KJ_REQUIRE(element_bytes == 2 || element_bytes == 4, "elements of a delta have 2 or 4 bytes");
  KJ_REQUIRE(bytes % element_bytes == 0, "a delta is of whole elements");
}

}  // namespace

std::optional<std::vector<kj::byte>> encode_delta(kj::ArrayPtr<const kj::byte> before,
                                                  kj::ArrayPtr<const kj::byte> after,
                                                  std::size_t element_bytes, std::uint64_t most) {
  require_sizes(element_bytes, before.size());
  KJ_REQUIRE(before.size() == after.size(), "a delta is of two versions of one model");
  if (estimate(before, after, element_bytes) > 2 * static_cast<double>(most)) return std::nullopt;
  Encoder encoder;
  const std::uint64_t dense = after.size() / element_bytes * (element_bytes + 1);
  encoder.code.reserve(std::min(most, dense) +
                       kBlockBytes * 2);  // what is not written stays unmapped
  for (std::size_t block = 0; block < after.size(); block += kBlockBytes) {
    const std::size_t end = std::min(block + kBlockBytes, after.size());
    if (std::memcmp(before.begin() + block, after.begin() + block, end - block) == 0) continue;
    for (std::size_t at = block; at < end; at += element_bytes)
      if (std::memcmp(before.begin() + at, after.begin() + at, element_bytes) != 0)
        encoder.add(at / element_bytes, after.begin() + at, element_bytes);
    if (encoder.code.size() > most) return std::nullopt;
  }
  return std::move(encoder.code);
}

void apply_delta(kj::ArrayPtr<const kj::byte> delta, std::size_t element_bytes,
                 kj::ArrayPtr<kj::byte> values) {
  require_sizes(element_bytes, values.size());
  const std::uint64_t elements = values.size() / element_bytes;
  std::uint64_t element = 0;
  for (std::size_t at = 0; at < delta.size(); ++element) {
    const std::uint64_t gap = take_gap(delta, at);
    KJ_REQUIRE(element < elements && gap < elements - element, "a delta beyond its buffer");
    KJ_REQUIRE(delta.size() - at >= element_bytes, "a delta that is cut short");
    element += gap;
    std::memcpy(values.begin() + element * element_bytes, delta.begin() + at, element_bytes);
    at += element_bytes;
  }
}

}  // namespace troupe
