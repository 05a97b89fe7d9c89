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
  KJ_REQUIRE(header.getElements() <= ~std::uint64_t{0} / sizeof(float), "more weights than memory");
  if (header.getTensors().size() > 0)
    troupe::validate(header.getTensors(), header.getElements() * sizeof(float));
  KJ_REQUIRE(header.getSha256().size() == 0 || header.getSha256().size() == Sha256{}.size(),
             "a SHA-256 has 32 bytes");
}
}  // namespace wire

Weights::Weights(std::uint64_t version, const std::string& digest,
                 std::shared_ptr<const float[]> values, std::uint64_t elements)
    : Weights(Message<wire::WeightsHeader>::build([&](wire::WeightsHeader::Builder header) {
                header.setVersion(version);
                header.setDigest(digest);
                header.setElements(elements);
              }),
              std::move(values)) {}

Weights::Weights(Message<wire::WeightsHeader> header, std::shared_ptr<const float[]> values)
    : header_(std::move(header)), values_(std::move(values)) {
  KJ_REQUIRE(values_ != nullptr, "weights without values");
}

Weights attested(const Weights& weights, const WeightManifest& manifest) {
  const Sha256 digest = sha256(weights.bytes());
  return {Message<wire::WeightsHeader>::build([&](wire::WeightsHeader::Builder header) {
            header.setVersion(weights.version());
            header.setDigest(weights.digest());
            header.setElements(weights.elements());
            write(manifest, header.initTensors(static_cast<unsigned>(manifest.size())));
            header.setSha256(kj::arrayPtr(digest.data(), digest.size()));
          }),
          weights.values()};
}

}  // namespace troupe
