#include "messages/weights.hpp"

#include <doctest/doctest.h>

#include <kj/exception.h>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {
const std::string kDigest(32, 'a');
std::shared_ptr<const float[]> values() {
  return std::shared_ptr<float[]>(new float[2]{1.0f, 2.0f});
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
}

}  // namespace troupe
