#include "messages/weights.hpp"

#include <kj/debug.h>

namespace troupe {

namespace wire {
void validate(WeightsHeader::Reader header) {
  constexpr unsigned kDigestDigits = 32;
  KJ_REQUIRE(header.getDigest().size() == kDigestDigits, "a weights digest has 32 hex digits");
  for (const char c : header.getDigest())
    KJ_REQUIRE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "a weights digest is hexadecimal");
  KJ_REQUIRE(header.getElements() > 0, "weights without values");
}
}  // namespace wire

Weights::Weights(std::uint64_t version, const std::string& digest,
                 std::shared_ptr<const float[]> values, std::uint64_t elements)
    : header_(Message<wire::WeightsHeader>::build([&](wire::WeightsHeader::Builder header) {
        header.setVersion(version);
        header.setDigest(digest);
        header.setElements(elements);
      })),
      values_(std::move(values)) {
  KJ_REQUIRE(values_ != nullptr, "weights without values");
}

}  // namespace troupe
