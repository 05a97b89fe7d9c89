#include "gpu/sampling/philox.hpp"

#include <cmath>
#include <numbers>

namespace troupe::gpu {
namespace {

/// Odd multiples of 2^-53: neither 0 nor 1, and exact in a double.
double to_unit(std::uint64_t bits) {
  return static_cast<double>(bits >> 11 | 1) * 0x1p-53;
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low,
                                    std::uint64_t counter_high) {
  auto c0 = static_cast<std::uint32_t>(counter_low);
  auto c1 = static_cast<std::uint32_t>(counter_low >> 32);
  auto c2 = static_cast<std::uint32_t>(counter_high);
  auto c3 = static_cast<std::uint32_t>(counter_high >> 32);
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(b);
    c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t position) {
  const auto words = philox(seed, stream, position);
  return to_unit(std::uint64_t{words[0]} << 32 | words[1]);
}

// The half of the block that uniform() above does not use: a stream shares no bits with sampling.
std::uint64_t PhiloxStream::next() {
  const auto words = philox(seed_, stream_, position_++);
  return std::uint64_t{words[2]} << 32 | words[3];
}

double PhiloxStream::uniform() {
  return to_unit(next());
}

std::uint64_t PhiloxStream::below(std::uint64_t bound) {
  const std::uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound: the uneven rest
  std::uint64_t bits = next();
  while (bits < rejected) bits = next();
  return bits % bound;
}

// Box-Muller, one of the pair, so that the stream has no state but its position.
double PhiloxStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace troupe::gpu
