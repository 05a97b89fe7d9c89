#include "messages/weights.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <kj/exception.h>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {
const std::string kDigest(32, 'a');
std::shared_ptr<const float[]> values() {
  return std::shared_ptr<float[]>(new float[2]{1.0f, 2.0f});
}

WeightManifest manifest() {
  return {{"embed", "float32", {2, 3}, 0}, {"norm", "bfloat16", {4}, 24}};
}
constexpr std::uint64_t kElements = 8;  // of 4 bytes

Message<wire::WeightsHeader> header_with(const std::function<void(WeightManifest&)>& change) {
  WeightManifest tensors = manifest();
  change(tensors);
  return Message<wire::WeightsHeader>::build([&](wire::WeightsHeader::Builder header) {
    header.setDigest(kDigest);
    header.setElements(kElements);
    write(tensors, header.initTensors(static_cast<unsigned>(tensors.size())));
  });
}
std::string difference(const std::function<void(WeightManifest&)>& change) {
  const auto header = header_with([](WeightManifest&) {});
  WeightManifest ours = manifest();
  change(ours);
  return first_difference(ours, header.read().getTensors());
}
}  // namespace

TEST_CASE("weights carry version and digest and share their values") {
  const Weights weights(9, kDigest, values(), 2);
  const Weights copy = weights;
  CHECK(copy.version() == 9);
  CHECK(copy.digest() == kDigest);
  CHECK(copy.elements() == 2);
  CHECK(copy.values().get() == weights.values().get());
  CHECK_FALSE(static_cast<bool>(Weights{}));
}

TEST_CASE("weights without values or with a broken digest are refused") {
  CHECK_THROWS_AS(Weights(0, "abc", values(), 2), kj::Exception);
  CHECK_THROWS_AS(Weights(0, std::string(32, 'G'), values(), 2), kj::Exception);
  CHECK_THROWS_AS(Weights(0, kDigest, nullptr, 2), kj::Exception);
  CHECK_THROWS_AS(Weights(0, kDigest, values(), 0), kj::Exception);
  CHECK_THROWS_AS(Weights(0, kDigest, values(), ~std::uint64_t{0} / 2), kj::Exception);
}

TEST_CASE("attested weights tell their tensors and the SHA-256 of their values") {
  const Weights plain(9, kDigest, values(), 2);
  const WeightManifest tensors{{"w", "float32", {2}, 0}};
  const Weights weights = attested(plain, tensors);
  CHECK(weights.version() == 9);
  CHECK(weights.digest() == kDigest);
  CHECK(weights.values().get() == plain.values().get());
  CHECK(first_difference(tensors, weights.header().getTensors()).empty());
  constexpr Sha256 kExpected = {// printf '\0\0\x80\x3f\0\0\0\x40' | sha256sum
                                0xb9, 0xc8, 0x0b, 0x5a, 0xde, 0xca, 0x45, 0x07, 0x53, 0xa1, 0x69,
                                0x50, 0xc3, 0xcc, 0x65, 0x5d, 0x27, 0x1f, 0x7b, 0xef, 0x7a, 0x48,
                                0x5b, 0xc8, 0x3f, 0x11, 0x2b, 0x72, 0xfe, 0xf2, 0x1d, 0x37};
  REQUIRE(weights.header().getSha256().size() == kExpected.size());
  CHECK(weights.header().getSha256() == kj::arrayPtr(kExpected.data(), kExpected.size()));
  CHECK_THROWS_AS(attested(plain, manifest()), kj::Exception);
}

TEST_CASE("tensors that leave holes or overlap or do not fill the buffer are refused") {
  CHECK_NOTHROW(header_with([](WeightManifest&) {}));
  const auto refused = [](const std::function<void(WeightManifest&)>& change) {
    CHECK_THROWS_AS(header_with(change), kj::Exception);
  };
  refused([](WeightManifest& m) { m[1].offset = 28; });
  refused([](WeightManifest& m) { m[1].offset = 20; });
  refused([](WeightManifest& m) { m[0].offset = 4; });
  refused([](WeightManifest& m) { m[1].shape = {3}; });
  refused([](WeightManifest& m) { m[1].shape = {5}; });
  refused([](WeightManifest& m) { m.pop_back(); });
  refused([](WeightManifest& m) { m[0].dtype = "float8"; });
  refused([](WeightManifest& m) { m[0].name.clear(); });
  refused([](WeightManifest& m) { m[0].shape.clear(); });
  refused([](WeightManifest& m) { m[0].shape = {2, 0, 3}; });
  refused([](WeightManifest& m) { m[0].shape = {1, 1, 1, 1, 1, 1, 1, 2, 3}; });
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;  // four of it are 0 in 64 bits
  refused([](WeightManifest& m) { m[0].shape = {kHuge + 6}; });
  refused([](WeightManifest& m) { m[0].shape = {kHuge, kHuge}; });
}

TEST_CASE("the first difference between two manifests is named") {
  CHECK(difference([](WeightManifest&) {}).empty());
  CHECK(difference([](WeightManifest& m) { m[1].name = "head"; }) ==
        "tensor 1 is head bfloat16 [4] at byte 24 here and norm bfloat16 [4] at byte 24 there");
  CHECK(difference([](WeightManifest& m) {
          m[0].shape = {3, 2};
        }).starts_with("tensor 0 is embed float32 [3, 2]"));
  CHECK(difference([](WeightManifest& m) { m[1].dtype = "float16"; }).starts_with("tensor 1 is "));
  CHECK(difference([](WeightManifest& m) { m[1].offset = 20; }).starts_with("tensor 1 is "));
  CHECK(difference([](WeightManifest& m) { m.pop_back(); }) == "1 tensors here and 2 there");
  CHECK(bytes_of(manifest()) == 32);
  CHECK(bytes_of({}) == 0);
}

}  // namespace troupe
