#include "gpu/error.hpp"
#include "gpu/sampling/engine.hpp"
#include "gpu/sampling/philox.hpp"
#include "tests/support/engine_rig.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <algorithm>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

struct Rig : EngineRig {
  explicit Rig(const DecoderConfig& shape, std::int32_t slots = 6, std::int32_t capacity = 40)
      : EngineRig(shape, make_torch_engine(shape, slots, capacity, "cpu")) {
    at::set_num_threads(1);
  }
};

}  // namespace

TEST_CASE("one pass over a prompt gives the logits of the reference decoder for every family") {
  for (const DecoderConfig& config : shapes()) {
    CAPTURE(architecture(config));
    Rig rig(config);
    std::vector<Row> rows;
    rig.feed(rows, 0, random_tokens(13, 1, config), 13);
    rig.run(rows);
    CHECK(rig.worst < 1e-4);
  }
}

TEST_CASE("prompt and decode steps through the cache give the logits of one pass") {
  for (const DecoderConfig& config : shapes()) {
    CAPTURE(architecture(config));
    Rig rig(config);
    const std::size_t prompts[] = {7, 1, 4, 9};
    std::vector<Tokens> tokens;
    for (std::uint64_t slot = 0; slot < 4; ++slot)
      tokens.push_back(random_tokens(20, slot, config));
    for (std::int32_t slot = 0; slot < 4; ++slot) {
      std::vector<Row> rows;
      rig.feed(rows, slot, tokens[static_cast<std::size_t>(slot)], prompts[slot]);
      rig.run(rows);
    }
    for (int step = 0; step < 8; ++step) {
      std::vector<Row> rows;
      for (std::int32_t slot = 0; slot < 4; ++slot)
        rig.feed(rows, slot, tokens[static_cast<std::size_t>(slot)], 1);
      rig.run(rows);
    }
    CHECK(rig.worst < 1e-4);
  }
}

TEST_CASE("any mix of decode rows and runs of any length in any slot order gives the same logits") {
  for (const DecoderConfig& config : shapes()) {
    CAPTURE(architecture(config));
    Rig rig(config);
    std::vector<Tokens> tokens;
    for (std::uint64_t slot = 0; slot < 6; ++slot)
      tokens.push_back(random_tokens(40, slot, config));
    PhiloxStream stream(3, 3);
    for (int call = 0; call < 12; ++call) {
      std::vector<std::int32_t> order{0, 1, 2, 3, 4, 5};
      const bool shuffled = stream.below(2) == 1;
      for (std::size_t i = 5; shuffled && i > 0; --i)
        std::swap(order[i], order[stream.below(i + 1)]);
      std::vector<Row> rows;
      for (const std::int32_t slot : order) {
        const std::size_t left = 40 - rig.fed[static_cast<std::size_t>(slot)].size();
        const std::size_t count = stream.below(3) == 0 ? stream.below(6) : 1;
        rig.feed(rows, slot, tokens[static_cast<std::size_t>(slot)], std::min(count, left));
      }
      rig.run(rows);
    }
    CHECK(rig.worst < 1e-4);
  }
}

TEST_CASE("a slot starts again at position 0 and forgets what it held") {
  Rig rig(tiny_llama());
  std::vector<Row> rows;
  rig.feed(rows, 2, random_tokens(20, 1, rig.config), 20);
  rig.run(rows);
  rows.clear();
  rig.fed[2].clear();
  rig.feed(rows, 2, random_tokens(20, 2, rig.config), 3);
  rig.run(rows);
  CHECK(rig.worst < 1e-4);
}

TEST_CASE("a copied prefix continues like its source and leaves the source as it was") {
  Rig rig(tiny_qwen3());
  const Tokens tokens = random_tokens(20, 1, rig.config);
  Tokens other = random_tokens(20, 2, rig.config);
  std::copy_n(tokens.begin(), 5, other.begin());
  std::vector<Row> rows;
  rig.feed(rows, 4, tokens, 8);
  rig.run(rows);
  rig.engine->copy_prefix(4, 1, 5);
  rig.fed[1].assign(other.begin(), other.begin() + 5);
  rows.clear();
  rig.feed(rows, 1, other, 4);
  rig.feed(rows, 4, tokens, 4);
  rig.run(rows);
  CHECK(rig.worst < 1e-4);
}

TEST_CASE("only wanted rows get logits and in their order") {
  Rig rig(tiny_llama());
  const Tokens tokens = random_tokens(6, 1, rig.config);
  std::vector<Row> rows;
  rig.feed(rows, 0, tokens, 6);
  std::vector<float> logits(3 * 26, 7.0f);
  rig.engine->forward(rows, Tokens{1, 4}, logits.data());
  rig.compare(logits.data(), rig.reference.logits({tokens.begin(), tokens.begin() + 2}).back());
  rig.compare(logits.data() + 26,
              rig.reference.logits({tokens.begin(), tokens.begin() + 5}).back());
  CHECK(rig.worst < 1e-4);
  CHECK(std::count(logits.begin() + 52, logits.end(), 7.0f) == 26);
}

TEST_CASE("weights are used from the call after their swap on and not when they are prepared") {
  Rig rig(tiny_llama());
  const std::vector<float> newer = random_weights(rig.config, 6);
  const PreparedPtr prepared = rig.engine->prepare(flat_weights(newer));
  std::vector<Row> before;
  rig.feed(before, 1, random_tokens(6, 2, rig.config), 6);
  rig.run(before);
  rig.engine->swap(prepared);
  rig.reference = ReferenceDecoder(rig.config, newer);
  std::vector<Row> rows;
  rig.feed(rows, 0, random_tokens(6, 1, rig.config), 6);
  rig.run(rows);
  CHECK(rig.worst < 1e-4);
}

TEST_CASE("rows that are out of range are refused") {
  Rig rig(tiny_llama(), 2, 8);
  std::vector<float> logits(26);
  const auto forward = [&](std::vector<Row> rows, Tokens wanted = {}) {
    rig.engine->forward(rows, wanted, logits.data());
  };
  CHECK_THROWS_WITH_AS(forward({{2, 0, 1}}), "slot 2 of 2", Error);
  CHECK_THROWS_AS(forward({{-1, 0, 1}}), Error);
  CHECK_THROWS_WITH_AS(forward({{0, 0, 26}}), "token 26 of a vocabulary of 26", Error);
  CHECK_THROWS_AS(forward({{0, 0, -1}}), Error);
  CHECK_THROWS_WITH_AS(forward({{1, 1, 1}}), "position 1 in slot 1 which holds 0 of 8 tokens",
                       Error);
  CHECK_THROWS_AS(forward({{1, 0, 1}}, {1}), Error);
  for (std::int32_t position = 0; position < 8; ++position) forward({{1, position, 1}});
  CHECK_THROWS_WITH_AS(forward({{1, 8, 1}}), "position 8 in slot 1 which holds 8 of 8 tokens",
                       Error);
  CHECK_THROWS_AS(rig.engine->copy_prefix(1, 2, 1), Error);
  CHECK_THROWS_AS(rig.engine->copy_prefix(1, 0, 9), Error);
  CHECK_THROWS_WITH_AS(forward({{0, 0, 1}, {0, 0, 1}}), "slot 0 starts again within one call",
                       Error);
  CHECK_THROWS_AS(forward({{0, 0, 1}, {0, 1, 1}}, {1, 0}), Error);
  CHECK_THROWS_AS(forward({{0, 0, 1}, {0, 1, 1}}, {1, 1}), Error);
}

TEST_CASE("an engine without weights and one longer than the model are refused") {
  const auto engine = make_torch_engine(tiny_llama(), 1, 8, "cpu");
  const Row row{0, 0, 1};
  CHECK_THROWS_AS(engine->forward({&row, 1}, {}, nullptr), Error);
  CHECK_THROWS_AS(make_torch_engine(tiny_llama(), 1, 65, "cpu"), Error);
  CHECK_THROWS_AS(make_torch_engine(tiny_llama(), 0, 8, "cpu"), Error);
}

TEST_SUITE_END();
