#include "gpu/kernels/decode_kernels.hpp"

#include "gpu/sampling/philox.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

TEST_SUITE_BEGIN("gpu/kernels");

namespace {

using namespace troupe::gpu;

using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Floats random_floats(std::ptrdiff_t count, std::uint64_t seed) {
  PhiloxStream draws(seed, 0);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(draws.normal());
  return values;
}

std::vector<const DecodeKernels*> tables() {
  std::vector<const DecodeKernels*> all;
  while (const DecodeKernels* table = decode_kernels(all.size())) all.push_back(table);
  return all;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Product {
  std::ptrdiff_t rows, columns, depth;
  Floats a, panels, addend;

  Product(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k)
      : rows(m),
        columns(n),
        depth(k),
        a(random_floats(m * k, 1)),
        panels(random_floats((n + 63) / 64 * 64 * k, 2)),
        addend(random_floats(m * n, 3)) {}

  Floats run(const DecodeKernels& kernels) const {
    Floats c(static_cast<std::size_t>(rows * columns), NAN);
    Gemm gemm;
    gemm.rows = rows, gemm.columns = columns, gemm.depth = depth;
    gemm.a = a.data(), gemm.a_row = depth;
    gemm.b = panels.data(), gemm.b_panel = 64 * depth;
    gemm.c = c.data(), gemm.c_row = columns;
    gemm.addend = addend.data(), gemm.addend_row = columns;
    kernels.gemm(gemm);
    return c;
  }
  /// As fused multiply-adds in one chain.
  Floats expected() const {
    Floats c;
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      for (std::ptrdiff_t j = 0; j < columns; ++j) {
        float sum = addend[c.size()];
        for (std::ptrdiff_t k = 0; k < depth; ++k)
          sum = std::fma(a[static_cast<std::size_t>(i * depth + k)],
                         panels[static_cast<std::size_t>((j / 64 * depth + k) * 64 + j % 64)], sum);
        c.push_back(sum);
      }
    return c;
  }
};

}  // namespace

TEST_CASE("a product is one chain of fused multiply-adds per element on every instruction set") {
  for (const DecodeKernels* kernels : tables()) {
    CAPTURE(kernels->name);
    for (std::ptrdiff_t rows = 1; rows <= 14; ++rows)
      for (const std::ptrdiff_t columns : {16, 48, 64, 80, 208})
        CHECK(same_bits(Product(rows, columns, 24).run(*kernels),
                        Product(rows, columns, 24).expected()));
    for (const std::ptrdiff_t depth : {383, 384, 385, 800})
      CHECK(same_bits(Product(7, 80, depth).run(*kernels), Product(7, 80, depth).expected()));
  }
}

TEST_CASE("one row as addend begins all rows and c may be its own addend at any depth") {
  for (const DecodeKernels* kernels : tables())
    for (const std::ptrdiff_t depth : {20, 500, 1200}) {
      CAPTURE(kernels->name);
      CAPTURE(depth);
      Product product(5, 32, depth);
      const Floats expected = product.expected();
      Gemm gemm;
      gemm.rows = 5, gemm.columns = 32, gemm.depth = depth;
      gemm.a = product.a.data(), gemm.a_row = depth;
      gemm.b = product.panels.data(), gemm.b_panel = 64 * depth;
      Floats in_place = product.addend, biased(5 * 32);
      gemm.c = in_place.data(), gemm.c_row = 32;
      gemm.addend = in_place.data(), gemm.addend_row = 32;
      kernels->gemm(gemm);
      CHECK(same_bits(in_place, expected));
      const Floats row(product.addend.begin(), product.addend.begin() + 32);
      gemm.c = biased.data(), gemm.addend = row.data(), gemm.addend_row = 0;
      kernels->gemm(gemm);
      for (std::size_t i = 0; i < product.addend.size(); ++i) product.addend[i] = row[i % 32];
      CHECK(same_bits(biased, product.expected()));
    }
}

TEST_CASE("both factors may lie in memory as they come") {
  for (const DecodeKernels* kernels : tables()) {
    CAPTURE(kernels->name);
    const std::ptrdiff_t rows = 9, columns = 144, depth = 500;
    const Floats a = random_floats(depth * rows, 1), b = random_floats(depth * columns, 2);
    Floats c(static_cast<std::size_t>(rows * columns)), expected;
    Gemm gemm;
    gemm.rows = rows, gemm.columns = columns, gemm.depth = depth;
    gemm.a = a.data(), gemm.a_row = 1, gemm.a_k = rows;
    gemm.b = b.data(), gemm.b_k = columns, gemm.b_panel = 64;
    gemm.c = c.data(), gemm.c_row = columns;
    kernels->gemm(gemm);
    for (std::size_t i = 0; i < 9; ++i)
      for (std::size_t j = 0; j < 144; ++j) {
        float sum = 0.0f;
        for (std::size_t k = 0; k < 500; ++k) sum = std::fma(a[k * 9 + i], b[k * 144 + j], sum);
        expected.push_back(sum);
      }
    CHECK(same_bits(c, expected));
  }
}

TEST_CASE("masses are exponentials of scaled distances with zero for what is forbidden") {
  for (const DecodeKernels* kernels : tables()) {
    CAPTURE(kernels->name);
    Floats logits = random_floats(37, 4), bias(37, 0.0f), mass(37);
    logits[1] = -300.0f, logits[2] = -kInfinity, bias[3] = -kInfinity, bias[36] = -kInfinity;
    const float highest = *std::max_element(logits.begin(), logits.end());
    kernels->masses(37, logits.data(), bias.data(), highest, 1.25f, mass.data());
    for (std::size_t i = 0; i < mass.size(); ++i) {
      const double exact = std::exp((static_cast<double>(logits[i]) + bias[i] - highest) * 1.25);
      CHECK(std::abs(static_cast<double>(mass[i]) - exact) <= 4e-7 * exact + 1e-38);
    }
    CHECK(mass[1] == 0.0f);
    CHECK(mass[3] == 0.0f);
    CHECK(mass[36] == 0.0f);
    Floats wide(48, -2.0f), zero(48, 0.0f), many(48);
    wide[5] = NAN;
    kernels->masses(48, wide.data(), zero.data(), 0.0f, 1.0f, many.data());
    CHECK(std::isnan(many[5]));
    CHECK(many[4] == many[47]);
  }
}

TEST_CASE("swiglu agrees with the definition from very negative to very positive gates") {
  Floats gate_up(64, 1.0f);
  const Floats gates{-200, -88, -87, -20, -1, -0.1f, 0, 0.1f, 1, 20, 87, 88, 200, 2, 3, 4};
  std::copy(gates.begin(), gates.end(), gate_up.begin());
  for (std::size_t i = 0; i < 16; ++i) gate_up[32 + i] = static_cast<float>(i) - 3.0f;
  for (const DecodeKernels* kernels : tables()) {
    CAPTURE(kernels->name);
    Floats found(32);
    kernels->swiglu(1, 32, gate_up.data(), found.data());
    for (std::size_t i = 0; i < 16; ++i) {
      const double g = gate_up[i], exact = g / (1.0 + std::exp(-g)) * gate_up[32 + i];
      CHECK(std::abs(static_cast<double>(found[i]) - exact) <= 1e-6 * std::abs(exact) + 1e-34);
    }
  }
}

TEST_CASE("a norm divides by the root of the mean square of what is not padding") {
  for (const DecodeKernels* kernels : tables()) {
    CAPTURE(kernels->name);
    for (const std::ptrdiff_t width : {16, 48, 64, 112, 160}) {
      Floats x = random_floats(3 * width, 6), weight = random_floats(width, 7), y(x.size());
      const std::ptrdiff_t used = width - 3;
      for (std::ptrdiff_t i = 0; i < 3 * width; ++i)
        if (i % width >= used) x[static_cast<std::size_t>(i)] = 0.0f;
      kernels->rms_norm({3, width, used, 1e-5f}, x.data(), weight.data(), y.data());
      double worst = 0.0;
      for (std::ptrdiff_t i = 0; i < 3 * width; ++i) {
        const std::span row = std::span(x).subspan(static_cast<std::size_t>(i / width * width),
                                                   static_cast<std::size_t>(width));
        double squares = 0.0;
        for (const float v : row) squares += static_cast<double>(v) * v;
        const double exact = x[static_cast<std::size_t>(i)] /
                             std::sqrt(squares / static_cast<double>(used) + 1e-5) *
                             weight[static_cast<std::size_t>(i % width)];
        worst = std::max(worst, std::abs(y[static_cast<std::size_t>(i)] - exact));
      }
      CHECK(worst < 3e-6);
    }
  }
}

TEST_SUITE_END();
