#include "gpu/sampling/philox.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

using namespace troupe::gpu;

TEST_CASE("philox gives the known answers of its authors") {
  using Block = std::array<std::uint32_t, 4>;
  constexpr std::uint64_t kOnes = ~std::uint64_t{0};
  CHECK(philox(0, 0, 0) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(kOnes, kOnes, kOnes) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a uniform draw is the upper bits of its block as an odd multiple of 2^-53") {
  // 0x6627e8d5e169c58d >> 11 = 0xcc4fd1abc2d38, made odd
  CHECK(uniform(0, 0, 0) == std::ldexp(static_cast<double>(0xcc4fd1abc2d38 | 1), -53));
  CHECK(uniform(1, 2, 3) != uniform(1, 3, 2));
  CHECK(uniform(1, 2, 3) != uniform(2, 2, 3));
}

TEST_CASE("a stream repeats with its seed and shares no draw with sampling") {
  PhiloxStream first(7, 1), again(7, 1), other(7, 2);
  for (std::uint64_t position = 0; position < 20; ++position) {
    const double draw = first.uniform();
    CHECK(draw == again.uniform());
    CHECK(draw != other.uniform());
    CHECK(draw != uniform(7, 1, position));
  }
}

TEST_CASE("below is uniform for a bound that does not divide 2^64") {
  PhiloxStream stream(1, 1);
  std::array<int, 6> seen{};
  for (int i = 0; i < 60000; ++i) ++seen.at(stream.below(6));
  double chi_square = 0.0;
  for (const int count : seen) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  CHECK(chi_square < 20.5);  // 5 degrees of freedom: p = 0.001
  CHECK(stream.below(1) == 0);
}

TEST_CASE("below rejects the uneven rest of a large bound") {
  // Without rejection every draw under 2^62 would be twice as likely for the bound 3 * 2^62.
  constexpr std::uint64_t kBound = std::uint64_t{3} << 62;
  PhiloxStream stream(2, 1);
  int low = 0;
  for (int i = 0; i < 30000; ++i) low += stream.below(kBound) < kBound / 3 ? 1 : 0;
  CHECK(std::abs(low - 10000) < 300);
}

TEST_CASE("normal draws have the moments of a standard normal") {
  PhiloxStream stream(3, 1);
  constexpr int kCount = 100000;
  std::array<double, 5> moments{};
  for (int i = 0; i < kCount; ++i) {
    const double x = stream.normal();
    double power = 1.0;
    for (double& moment : moments) {
      moment += power / kCount;
      power *= x;
    }
  }
  CHECK(std::abs(moments[1]) < 0.012);
  CHECK(std::abs(moments[2] - 1.0) < 0.017);
  CHECK(std::abs(moments[3]) < 0.05);
  CHECK(std::abs(moments[4] - 3.0) < 0.12);
}

TEST_SUITE_END();
