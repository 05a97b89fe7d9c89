#include "gpu/training/cpu_kernels.hpp"

#include "gpu/sampling/philox.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

std::vector<float> random_floats(std::size_t count, std::uint64_t seed, double scale = 1.0) {
  PhiloxStream draws(seed, 0);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(scale * draws.normal());
  return values;
}

void check_close(const std::vector<float>& found, const std::vector<float>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]) /
                                (1.0 + std::abs(expected[i])));
  CHECK(worst < 3e-6);
}

/// Forward and backward of one sequence: outputs, then gradients.
std::vector<float> attention_of(const CpuKernels& kernels, AttentionShape shape,
                                std::ptrdiff_t length) {
  const auto rows = static_cast<std::size_t>(length);
  const auto width = static_cast<std::size_t>(shape.heads * shape.dim),
             row = static_cast<std::size_t>(shape.row());
  const std::vector<float> qkv = random_floats(rows * row, 1),
                           dout = random_floats(rows * width, 2);
  std::vector<float> out(rows * width), lse(rows * static_cast<std::size_t>(shape.heads)),
      dqkv(rows * row);
  std::vector<float> scratch(attention_scratch(shape, length), NAN);
  kernels.attention(shape, length, qkv.data(), out.data(), lse.data(), scratch.data());
  kernels.attention_backward(shape, length, qkv.data(), out.data(), lse.data(), dout.data(),
                             dqkv.data(), scratch.data());
  out.insert(out.end(), dqkv.begin(), dqkv.end());
  return out;
}

TEST_CASE("the widest instruction set gives what the portable kernels give for attention") {
  for (const AttentionShape shape :
       {AttentionShape{4, 2, 16}, AttentionShape{3, 1, 6}, AttentionShape{2, 2, 40}})
    for (const std::ptrdiff_t length : {1, 2, 15, 16, 17, 37})
      check_close(attention_of(best_cpu_kernels(), shape, length),
                  attention_of(portable_cpu_kernels(), shape, length));
}

TEST_CASE("swiglu agrees with the definition from very negative to very positive gates") {
  const std::vector<float> gate_up{-200, -88, -20, -1, 0, 1, 20, 88, 200,
                                   1,    1,   1,   1,  1, 1, 2,  3,  4};
  for (const CpuKernels* kernels : {&best_cpu_kernels(), &portable_cpu_kernels()}) {
    std::vector<float> found(9);
    kernels->swiglu(1, 9, gate_up.data(), found.data());
    for (std::size_t i = 0; i < 9; ++i) {
      const double g = gate_up[i];
      CHECK(found[i] == doctest::Approx(g / (1 + std::exp(-g)) * gate_up[9 + i]).epsilon(1e-6));
    }
  }
}

TEST_CASE("a value that is not a number is not swallowed") {
  for (const CpuKernels* kernels : {&best_cpu_kernels(), &portable_cpu_kernels()}) {
    std::vector<float> logits = random_floats(20, 1), bias(20, 0.0f);
    logits[7] = NAN;
    const std::int64_t target = 3;
    float log_prob = 0, entropy = 0, activated = 0;
    kernels->log_softmax(1, 20, logits.data(), bias.data(), 1.0f, &target, &log_prob, &entropy);
    CHECK(std::isnan(log_prob));
    const float gate_up[2] = {NAN, 1.0f};
    kernels->swiglu(1, 1, gate_up, &activated);
    CHECK(std::isnan(activated));
  }
}

TEST_CASE("attention of a single token is its value") {
  const AttentionShape shape{2, 1, 4};
  const std::vector<float> qkv = random_floats(16, 9);
  std::vector<float> out(8), lse(2), scratch(attention_scratch(shape, 1));
  best_cpu_kernels().attention(shape, 1, qkv.data(), out.data(), lse.data(), scratch.data());
  for (std::size_t i = 0; i < 8; ++i) CHECK(out[i] == doctest::Approx(qkv[12 + i % 4]));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
