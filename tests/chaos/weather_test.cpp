#include "tests/chaos/weather.hpp"

#include <doctest/doctest.h>

#include <bitset>
#include <stdexcept>

TEST_SUITE_BEGIN("chaos");

namespace troupe::chaos {

TEST_CASE("fair weather lets chunks pass at once") {
  Passage passage(1);
  CHECK(passage.due(5.0, 1000, {}) == 5.0);
  std::string chunk = "abc";
  Weather fair;
  CHECK_FALSE(passage.damage(chunk, fair));
  CHECK(chunk == "abc");
}

TEST_CASE("chunks are late by the delay and stay in order whatever the jitter") {
  Passage passage(1);
  const Weather weather{.delay = 0.1, .jitter = 0.5};
  double last = 0, least = 1, most = 0;
  for (int i = 0; i < 200; ++i) {
    const double now = 10.0 + i;
    const double late = passage.due(now, 1, weather) - now;
    least = std::min(least, late);
    most = std::max(most, late);
    const double again = passage.due(now, 1, weather);
    CHECK(again >= last);
    last = again;
  }
  CHECK(least >= 0.1);
  CHECK(least < 0.2);
  CHECK(most > 0.4);
  CHECK(most <= 0.6);
}

TEST_CASE("a share of the chunks stalls") {
  Passage passage(3);
  const Weather weather{.loss = 0.25, .stall = 0.5};
  int stalled = 0;
  for (int i = 0; i < 400; ++i) stalled += passage.due(i, 1, weather) > i + 0.25;
  CHECK(stalled > 60);
  CHECK(stalled < 140);
}

TEST_CASE("a throttled line carries its rate and no more") {
  Passage passage(1);
  const Weather weather{.bytes_per_second = 1000};
  double due = 0;
  for (int i = 0; i < 10; ++i) due = passage.due(2.0, 500, weather);
  CHECK(due == doctest::Approx(7.0));
  CHECK(passage.due(100.0, 500, weather) == doctest::Approx(100.5));  // no credit for idle time
}

TEST_CASE("damage is one bit in as many chunks as asked for and the same for a seed") {
  for (int round = 0; round < 2; ++round) {
    Passage passage(7), twin(7);
    Weather weather{.chunks_to_damage = 2}, other = weather;
    for (int i = 0; i < 3; ++i) {
      const std::string before(100, 'x');
      std::string chunk = before, same = before;
      CHECK(passage.damage(chunk, weather) == (i < 2));
      twin.damage(same, other);
      CHECK(chunk == same);
      std::size_t bits = 0;
      for (std::size_t at = 0; at < chunk.size(); ++at)
        bits += std::bitset<8>(static_cast<unsigned char>(chunk[at] ^ before[at])).count();
      CHECK(bits == (i < 2 ? 1 : 0));
    }
  }
}

TEST_CASE("commands change the direction that they name") {
  Weather up, down;
  apply("up delay 0.1 0.2", up, down);
  apply("both rate 1000", up, down);
  apply("down cut on", up, down);
  apply("down loss 0.5 0.3", up, down);
  apply("up corrupt 4", up, down);
  CHECK(up.delay == 0.1);
  CHECK(up.jitter == 0.2);
  CHECK(up.bytes_per_second == 1000);
  CHECK(down.bytes_per_second == 1000);
  CHECK_FALSE(up.cut);
  CHECK(down.cut);
  CHECK(down.loss == 0.5);
  CHECK(up.chunks_to_damage == 4);
  CHECK(down.chunks_to_damage == 0);
  apply("down cut off", up, down);
  CHECK_FALSE(down.cut);
  apply("clear", up, down);
  CHECK(up.delay == 0);
  for (const char* bad : {"sideways cut on", "up rain 3", "up rate much", "up cut perhaps"})
    CHECK_THROWS_AS(apply(bad, up, down), std::runtime_error);
}

}  // namespace troupe::chaos
