#include "messages/weight_delta.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <kj/exception.h>
#include <random>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {

using Bytes = std::vector<kj::byte>;

kj::ArrayPtr<const kj::byte> view(const Bytes& bytes) {
  return {bytes.data(), bytes.size()};
}

Bytes random_bytes(std::mt19937_64& dice, std::size_t size) {
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<kj::byte>(dice());
  return bytes;
}

/// Each element is drawn anew with that probability; any bits, so NaNs of all payloads as well.
Bytes changed(std::mt19937_64& dice, Bytes bytes, std::size_t element, double share) {
  std::uniform_real_distribution<double> unit;
  for (std::size_t at = 0; at < bytes.size(); at += element)
    if (unit(dice) < share)
      for (std::size_t i = 0; i < element; ++i) bytes[at + i] = static_cast<kj::byte>(dice());
  return bytes;
}

Bytes applied(const Bytes& delta, std::size_t element, Bytes values) {
  apply_delta(view(delta), element, kj::arrayPtr(values.data(), values.size()));
  return values;
}

Bytes encoded(const Bytes& before, const Bytes& after, std::size_t element) {
  auto delta = encode_delta(view(before), view(after), element, ~std::uint64_t{0});
  REQUIRE(delta.has_value());
  return std::move(*delta);
}

Bytes of_words(const std::vector<std::uint32_t>& words) {
  Bytes bytes(words.size() * sizeof(std::uint32_t));
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("a delta gives the new version to the last bit whatever changed") {
  std::mt19937_64 dice(7);
  for (const std::size_t element : {std::size_t{2}, std::size_t{4}})
    for (const double share : {0.0, 0.001, 0.05, 0.5, 1.0})
      for (const std::size_t elements : {1, 15, 16, 17, 1000, 40'000}) {
        CAPTURE(element);
        CAPTURE(share);
        CAPTURE(elements);
        const Bytes before = random_bytes(dice, elements * element);
        const Bytes after = changed(dice, before, element, share);
        CHECK(applied(encoded(before, after, element), element, before) == after);
      }
}

TEST_CASE("deltas chain over many versions") {
  std::mt19937_64 dice(11);
  Bytes version = random_bytes(dice, 4000), held = version;
  for (int i = 0; i < 50; ++i) {
    const Bytes next = changed(dice, version, 2, 0.02);
    held = applied(encoded(version, next, 2), 2, held);
    version = next;
  }
  CHECK(held == version);
}

TEST_CASE("values that compare equal but differ in bits are told apart") {
  constexpr std::uint32_t kZero = 0, kMinusZero = 0x80000000, kNan = 0x7fc00000,
                          kOtherNan = 0x7fc00001, kSignalling = 0xff800123;
  const Bytes before = of_words({kZero, kNan, kOtherNan, kNan, 5});
  const Bytes after = of_words({kMinusZero, kOtherNan, kNan, kNan, kSignalling});
  const Bytes delta = encoded(before, after, 4);
  CHECK(delta.size() == 4 * 5);  // the unchanged NaN is not in it
  CHECK(applied(delta, 4, before) == after);
}

TEST_CASE("a gap is coded in seven bits a byte and the value follows") {
  Bytes before(2 * 1000), after = before;
  after[2 * 3] = 0xab;
  after[2 * 4] = 0xcd;
  after[2 * 500] = 0xef;
  CHECK(encoded(before, after, 2) == Bytes{3, 0xab, 0, 0, 0xcd, 0, 0xef, 0x03, 0xef, 0});
}

TEST_CASE("nothing changed is an empty delta and a dense one is given up") {
  std::mt19937_64 dice(3);
  const Bytes before = random_bytes(dice, 8000), after = changed(dice, before, 4, 1.0);
  CHECK(encoded(before, before, 4).empty());
  CHECK_FALSE(encode_delta(view(before), view(after), 4, after.size()).has_value());
  const std::size_t exactly = encoded(before, after, 4).size();
  CHECK(encode_delta(view(before), view(after), 4, exactly).has_value());
  CHECK_FALSE(encode_delta(view(before), view(after), 4, exactly - 1).has_value());
}

TEST_CASE("a delta that is cut short or leaves its buffer is refused") {
  std::mt19937_64 dice(5);
  const Bytes before = random_bytes(dice, 4 * 300);
  Bytes after = before;
  after[4 * 200] ^= 1;
  after[4 * 299] ^= 1;
  const Bytes delta = encoded(before, after, 4);
  REQUIRE(delta.size() == 2 * 4 + 3);  // gaps of 200 and 98
  const auto refused = [&](const Bytes& code, const Bytes& values) {
    CHECK_THROWS_AS(applied(code, 4, values), kj::Exception);
  };
  for (std::size_t size = 1; size < delta.size(); ++size)
    if (size != 6) refused(Bytes(delta.begin(), delta.begin() + static_cast<long>(size)), before);
  refused(delta, Bytes(before.begin(), before.end() - 4));
  Bytes beyond = delta;
  beyond[6] = 99;
  refused(beyond, before);
  Bytes more = delta;
  more.insert(more.end(), {0, 1, 2, 3, 4});
  refused(more, before);
  refused(Bytes{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 1, 2, 3, 4},
          before);
  refused(Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 2, 3, 4}, before);
}

TEST_CASE("random bytes as a delta never write outside of the buffer") {
  std::mt19937_64 dice(13);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const Bytes delta = random_bytes(dice, 1 + dice() % 40);
    Bytes values(64 + 16, 0x55);  // 16 bytes of a fence
    try {
      apply_delta(view(delta), 2, kj::arrayPtr(values.data(), 64));
    } catch (const kj::Exception&) {
      ++refused;
    }
    CHECK(Bytes(values.begin() + 64, values.end()) == Bytes(16, 0x55));
  }
  CHECK(refused > 1000);
}

TEST_CASE("versions of different sizes or of odd elements are refused") {
  const Bytes four(4), six(6);
  CHECK_THROWS_AS(encode_delta(view(four), view(six), 2, 100), kj::Exception);
  CHECK_THROWS_AS(encode_delta(view(six), view(six), 4, 100), kj::Exception);
  CHECK_THROWS_AS(encode_delta(view(six), view(six), 3, 100), kj::Exception);
}

}  // namespace troupe
