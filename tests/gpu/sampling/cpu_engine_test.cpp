#include "gpu/sampling/cpu_engine.hpp"

#include "gpu/error.hpp"
#include "gpu/sampling/continuous_batch.hpp"
#include "tests/support/engine_rig.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("gpu/sampling");

namespace {

using namespace troupe::gpu;

using Bits = std::vector<float>;

struct Rig : EngineRig {
  explicit Rig(const DecoderConfig& shape, std::int32_t slots = 6, std::int32_t capacity = 40)
      : EngineRig(shape, make_cpu_engine(shape, slots, capacity)) {}
};

/// The demo's model: widths that are whole vectors.
DecoderConfig demo() {
  DecoderConfig config = tiny_llama();
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.head_dim = 16;
  return config;
}

/// Beside the families in small: widths beyond one vector and one panel, a depth of several slices,
/// heads of every specialised width and groups of three, four and five.
std::vector<DecoderConfig> all_shapes() {
  std::vector<DecoderConfig> all = shapes();
  all.push_back(demo());
  DecoderConfig wide = tiny_qwen3();
  wide.hidden_size = 400;
  wide.intermediate_size = 70;
  wide.vocab_size = 144;
  wide.num_layers = 1;
  DecoderConfig deep = demo();
  deep.intermediate_size = 800;
  deep.num_layers = 1;
  all.push_back(deep);
  for (const std::int32_t dim : {32, 40, 64, 128}) {
    wide.head_dim = dim;
    wide.num_heads = dim == 40 ? 5 : dim == 64 ? 4 : 3;
    wide.num_kv_heads = 1;
    wide.tied_embeddings = dim != 64;
    wide.qkv_bias = dim == 32;
    wide.qk_norm = !wide.qkv_bias;
    all.push_back(wide);
  }
  return all;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::vector<Row> rows_of(std::int32_t slot, const Tokens& tokens, std::size_t begin,
                         std::size_t end) {
  std::vector<Row> rows;
  for (std::size_t i = begin; i < end; ++i)
    rows.push_back({slot, static_cast<std::int32_t>(i), tokens[i]});
  return rows;
}

/// Logits of every row, [rows][vocab].
Bits logits_of(Engine& engine, const std::vector<Row>& rows) {
  std::vector<std::int32_t> wanted(rows.size());
  std::iota(wanted.begin(), wanted.end(), 0);
  Bits logits(rows.size() * static_cast<std::size_t>(engine.vocab()), NAN);
  engine.forward(rows, wanted, logits.data());
  return logits;
}

/// One pass over a sequence that is alone in an engine of its own.
Bits alone(const DecoderConfig& config, const Tokens& tokens,
           const DecodeKernels& kernels = *decode_kernels()) {
  const auto engine = make_cpu_engine(config, 1, 64, 1, kernels);
  engine->swap(flat_weights(random_weights(config, 5)));
  return logits_of(*engine, rows_of(0, tokens, 0, tokens.size()));
}

SamplingParams params(float temperature = 1.0f) {
  SamplingParams result;
  result.temperature = temperature;
  result.max_new_tokens = 20;
  result.stop_tokens = {2};
  result.banned = {0, 1};
  return result;
}

using Completions = std::map<std::uint64_t, Completion>;

/// Rollouts 0..count-1 in groups of four, submitted in rotated order; new weights after some steps.
Completions sample(Engine& engine, std::uint64_t count, std::uint64_t first = 0,
                   float temperature = 1.0f, bool share = true) {
  ContinuousBatch batch(engine, params(temperature), 9);
  batch.swap(flat_weights(random_weights(demo(), 40)), 0);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t rollout = (first + i) % count, group = rollout / 4;
    Tokens prompt = random_tokens(3 + group % 5, group, demo());
    batch.submit({rollout, share ? group : rollout, std::move(prompt), 0});
  }
  Completions all;
  while (batch.can_step()) {
    batch.step();
    for (Completion& one : batch.take_finished()) all[one.rollout] = std::move(one);
  }
  return all;
}

std::size_t differences(const Completions& a, const Completions& b) {
  REQUIRE(a.size() == b.size());
  std::size_t count = 0;
  for (const auto& [id, one] : a)
    count += one.tokens != b.at(id).tokens || !same_bits(one.log_probs, b.at(id).log_probs) ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("one pass of the CPU engine gives the logits of the reference decoder") {
  for (const DecoderConfig& config : all_shapes()) {
    CAPTURE(architecture(config));
    CAPTURE(config.head_dim);
    Rig rig(config);
    std::vector<Row> rows;
    rig.feed(rows, 0, random_tokens(37, 1, config), 37);
    rig.run(rows);
    CHECK(rig.worst < 1e-5);
  }
}

TEST_CASE("any mix of rows gives the bits that each sequence has alone in one pass") {
  for (const DecoderConfig& config : all_shapes()) {
    CAPTURE(architecture(config));
    CAPTURE(config.head_dim);
    const auto vocab = static_cast<std::size_t>(config.vocab_size);
    Rig rig(config);
    std::vector<Tokens> tokens;
    std::vector<Bits> expected;
    for (std::uint64_t slot = 0; slot < 6; ++slot) {
      tokens.push_back(random_tokens(40, slot, config));
      expected.push_back(alone(config, tokens.back()));
    }
    PhiloxStream stream(3, 3);
    for (int call = 0; call < 16; ++call) {
      std::vector<std::int32_t> order{0, 1, 2, 3, 4, 5};
      for (std::size_t i = 5; i > 0; --i) std::swap(order[i], order[stream.below(i + 1)]);
      std::vector<Row> rows;
      for (const std::int32_t slot : order) {
        const std::size_t left = 40 - rig.fed[static_cast<std::size_t>(slot)].size();
        const std::size_t count = stream.below(3) == 0 ? stream.below(19) : stream.below(3);
        rig.feed(rows, slot, tokens[static_cast<std::size_t>(slot)], std::min(count, left));
      }
      const Bits found = logits_of(*rig.engine, rows);
      std::size_t same = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto at = static_cast<std::size_t>(rows[i].position) * vocab;
        const std::span all(expected[static_cast<std::size_t>(rows[i].slot)]);
        same +=
            same_bits(std::span(found).subspan(i * vocab, vocab), all.subspan(at, vocab)) ? 1 : 0;
      }
      CHECK(same == rows.size());
    }
  }
}

TEST_CASE("any number of threads gives the bits of one") {
  const auto one = make_cpu_engine(demo(), 64, 40);
  const Completions expected = sample(*one, 150);
  for (const std::int32_t threads : {2, 3}) {
    const auto several = make_cpu_engine(demo(), 64, 40, threads);
    CHECK(differences(sample(*several, 150), expected) == 0);
  }
  // Rows of a slot that are far apart in the call stay in one thread.
  const auto several = make_cpu_engine(demo(), 4, 40, 3);
  several->swap(flat_weights(random_weights(demo(), 5)));
  std::vector<Row> rows;
  std::vector<Bits> sequences;
  for (std::int32_t slot = 0; slot < 4; ++slot)
    sequences.push_back(alone(demo(), random_tokens(30, static_cast<std::uint64_t>(slot), demo())));
  for (std::int32_t position = 0; position < 30; ++position)
    for (std::int32_t slot = 0; slot < 4; ++slot)
      rows.push_back({slot, position,
                      random_tokens(30, static_cast<std::uint64_t>(slot),
                                    demo())[static_cast<std::size_t>(position)]});
  const Bits found = logits_of(*several, rows);
  std::size_t same = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto at = static_cast<std::size_t>(rows[i].position) * 26;
    const Bits& sequence = sequences[static_cast<std::size_t>(rows[i].slot)];
    same += same_bits(std::span(found).subspan(i * 26, 26), std::span(sequence).subspan(at, 26));
  }
  CHECK(same == rows.size());
}

TEST_CASE("rows of a call of many chunks have the bits of one chunk") {
  const DecoderConfig config = demo();
  std::vector<Row> rows;
  Bits expected;
  for (std::int32_t slot = 0; slot < 40; ++slot) {
    const Tokens tokens = random_tokens(17, static_cast<std::uint64_t>(slot), config);
    for (const Row& row : rows_of(slot, tokens, 0, 17)) rows.push_back(row);
    for (const float logit : alone(config, tokens)) expected.push_back(logit);
  }
  const auto engine = make_cpu_engine(config, 40, 40);
  engine->swap(flat_weights(random_weights(config, 5)));
  CHECK(same_bits(logits_of(*engine, rows), expected));
}

TEST_CASE("every instruction set gives the same bits") {
  for (const DecoderConfig& config : all_shapes()) {
    CAPTURE(architecture(config));
    CAPTURE(config.head_dim);
    const Tokens tokens = random_tokens(37, 1, config);
    const Bits widest = alone(config, tokens);
    std::size_t tables = 0;
    for (; const DecodeKernels* kernels = decode_kernels(tables); ++tables) {
      CAPTURE(kernels->name);
      CHECK(same_bits(alone(config, tokens, *kernels), widest));
    }
    CHECK(tables >= 1);
  }
}

TEST_CASE("log-probs agree with the LibTorch engine to 1e-5 and greedy tokens are equal") {
  at::set_num_threads(1);
  for (const DecoderConfig& config : all_shapes()) {
    CAPTURE(architecture(config));
    CAPTURE(config.head_dim);
    const auto own = make_cpu_engine(config, 3, 40);
    const auto torch = make_torch_engine(config, 3, 40, "cpu");
    const auto weights = flat_weights(initial_weights(config, 7));
    std::vector<std::map<std::uint64_t, Completion>> found;
    for (Engine* engine : {own.get(), torch.get()}) {
      ContinuousBatch batch(*engine, {.temperature = 0.0f, .max_new_tokens = 30}, 1);
      batch.swap(weights, 0);
      for (std::uint64_t i = 0; i < 8; ++i)
        batch.submit({i, i, random_tokens(1 + i, i, config), 0});
      std::map<std::uint64_t, Completion>& all = found.emplace_back();
      while (batch.step() > 0)
        for (Completion& one : batch.take_finished()) all[one.rollout] = std::move(one);
    }
    float worst = 0.0f;
    for (const auto& [id, one] : found[0]) {
      const Completion& other = found[1].at(id);
      REQUIRE(one.tokens == other.tokens);
      for (std::size_t i = 0; i < one.log_probs.size(); ++i)
        worst = std::max(worst, std::abs(one.log_probs[i] - other.log_probs[i]));
    }
    CHECK(found[0].size() == 8);
    CHECK(worst < 1e-5f);
  }
}

TEST_CASE("rollouts have the same bits through any number of slots and in any order of arrival") {
  const auto one = make_cpu_engine(demo(), 1, 40);
  const Completions expected = sample(*one, 64);
  std::size_t stopped = 0;
  for (const auto& [id, completion] : expected) stopped += completion.tokens.size() < 20 ? 1 : 0;
  CHECK(stopped > 5);  // company changes while they run
  for (const std::int32_t slots : {2, 7, 16, 64, 100}) {
    CAPTURE(slots);
    const auto engine = make_cpu_engine(demo(), slots, 40);
    CHECK(differences(sample(*engine, 64), expected) == 0);
    CHECK(differences(sample(*engine, 64, 29), expected) == 0);
    CHECK(differences(sample(*engine, 64, 0, 1.0f, false), expected) == 0);
  }
}

TEST_CASE("a swap in the middle of rollouts gives the same bits in any company") {
  std::vector<Tokens> tokens;
  for (std::uint64_t slot = 0; slot < 5; ++slot) tokens.push_back(random_tokens(24, slot, demo()));
  const auto run = [&](Engine& engine, std::size_t first, std::size_t last) {
    Bits logits;
    for (const std::uint64_t version : {40, 41, 42}) {
      engine.swap(flat_weights(random_weights(demo(), version)));
      for (std::size_t step = 0; step < 8; ++step) {
        std::vector<Row> rows;
        const std::size_t at = (version - 40) * 8 + step;
        for (std::size_t i = first; i < last; ++i)
          rows.push_back(
              {static_cast<std::int32_t>(i - first), static_cast<std::int32_t>(at), tokens[i][at]});
        const Bits found = logits_of(engine, rows);
        const std::size_t vocab = found.size() / rows.size(), row = first == 0 ? 3 : 0;
        logits.insert(logits.end(), found.begin() + static_cast<std::ptrdiff_t>(row * vocab),
                      found.begin() + static_cast<std::ptrdiff_t>((row + 1) * vocab));
      }
    }
    return logits;
  };
  const auto crowd = make_cpu_engine(demo(), 5, 24), single = make_cpu_engine(demo(), 1, 24);
  const Bits in_company = run(*crowd, 0, 5), by_itself = run(*single, 3, 4);
  CHECK(same_bits(in_company, by_itself));
  const auto other = make_cpu_engine(demo(), 1, 24);
  other->swap(flat_weights(random_weights(demo(), 42)));
  const Bits newest_only = logits_of(*other, rows_of(0, tokens[3], 0, 24));
  CHECK_FALSE(same_bits(std::span(by_itself).last(26), std::span(newest_only).last(26)));
}

TEST_CASE("a version that is prepared beside forward passes changes no bit before its swap") {
  const Tokens tokens = random_tokens(20, 3, demo());
  const auto alone_with = [&](std::uint64_t version) {
    const auto engine = make_cpu_engine(demo(), 1, 24);
    engine->swap(flat_weights(random_weights(demo(), version)));
    return logits_of(*engine, rows_of(0, tokens, 0, 20));
  };
  const auto engine = make_cpu_engine(demo(), 2, 24);
  engine->swap(flat_weights(random_weights(demo(), 40)));
  for (std::uint64_t version = 40; version < 44; ++version) {  // twice through both of its copies
    PreparedPtr next;
    std::thread beside(
        [&] { next = engine->prepare(flat_weights(random_weights(demo(), version + 1))); });
    const Bits during = logits_of(*engine, rows_of(0, tokens, 0, 20));
    beside.join();
    CHECK(same_bits(during, alone_with(version)));
    CHECK(same_bits(logits_of(*engine, rows_of(1, tokens, 0, 20)), alone_with(version)));
    engine->swap(next);
    CHECK(same_bits(logits_of(*engine, rows_of(0, tokens, 0, 20)), alone_with(version + 1)));
  }
}

TEST_CASE("a cache recomputed with new weights has the bits of one pass with them") {
  const Tokens tokens = random_tokens(20, 3, demo());
  const auto engine = make_cpu_engine(demo(), 2, 24);
  engine->swap(flat_weights(random_weights(demo(), 40)));
  logits_of(*engine, rows_of(1, tokens, 0, 12));
  engine->swap(flat_weights(random_weights(demo(), 5)));
  Bits found = logits_of(*engine, rows_of(1, tokens, 0, 12));
  for (std::size_t i = 12; i < 20; ++i)
    for (const float logit : logits_of(*engine, rows_of(1, tokens, i, i + 1)))
      found.push_back(logit);
  CHECK(same_bits(found, alone(demo(), tokens)));
}

TEST_CASE("a copied prefix continues like its source and leaves the source as it was in bits") {
  for (const DecoderConfig& config : all_shapes()) {
    const Tokens tokens = random_tokens(40, 1, config);
    Tokens branch = random_tokens(40, 2, config);
    std::copy_n(tokens.begin(), 17, branch.begin());
    const auto engine = make_cpu_engine(config, 5, 40);
    engine->swap(flat_weights(random_weights(config, 5)));
    logits_of(*engine, rows_of(1, random_tokens(40, 3, config), 0, 40));  // what was there before
    logits_of(*engine, rows_of(4, tokens, 0, 33));
    engine->copy_prefix(4, 1, 17);
    engine->copy_prefix(1, 1, 17);
    std::vector<Row> rows = rows_of(1, branch, 17, 40);
    for (const Row& row : rows_of(4, tokens, 33, 40)) rows.push_back(row);
    Bits expected = alone(config, branch), source = alone(config, tokens);
    const auto vocab = static_cast<std::ptrdiff_t>(config.vocab_size);
    expected.erase(expected.begin(), expected.begin() + 17 * vocab);
    expected.insert(expected.end(), source.begin() + 33 * vocab, source.end());
    CHECK(same_bits(logits_of(*engine, rows), expected));
  }
}

TEST_CASE("a slot that held a sequence of not-a-numbers starts again clean") {
  const Tokens tokens = random_tokens(30, 1, demo());
  const auto engine = make_cpu_engine(demo(), 1, 64);
  engine->swap(flat_weights(std::vector<float>(manifest_of(demo()).elements, NAN)));
  CHECK(std::isnan(logits_of(*engine, rows_of(0, tokens, 0, 30)).back()));
  engine->swap(flat_weights(random_weights(demo(), 5)));
  CHECK(same_bits(logits_of(*engine, rows_of(0, tokens, 0, 30)), alone(demo(), tokens)));
}

TEST_CASE("the CPU engine writes the logits of wanted rows alone and of none if none are wanted") {
  for (const DecoderConfig& config : {demo(), all_shapes().back()}) {
    const Tokens tokens = random_tokens(6, 1, config);
    const auto vocab = static_cast<std::size_t>(config.vocab_size);
    Rig rig(config);
    std::vector<Row> rows;
    rig.feed(rows, 0, tokens, 6);
    Bits logits(3 * vocab, 7.0f);
    rig.engine->forward(rows, Tokens{1, 4}, logits.data());
    const Bits expected = alone(config, tokens);
    CHECK(same_bits(std::span(logits).first(vocab), std::span(expected).subspan(vocab, vocab)));
    CHECK(same_bits(std::span(logits).subspan(vocab, vocab),
                    std::span(expected).subspan(4 * vocab, vocab)));
    CHECK(std::count(logits.begin() + static_cast<std::ptrdiff_t>(2 * vocab), logits.end(), 7.0f) ==
          static_cast<std::ptrdiff_t>(vocab));
    rig.engine->forward(rows_of(1, tokens, 0, 5), {}, nullptr);
    rig.engine->forward({}, {}, nullptr);
    CHECK(same_bits(logits_of(*rig.engine, rows_of(1, tokens, 5, 6)),
                    std::span(expected).last(vocab)));
  }
}

TEST_CASE("the CPU engine takes a slot up to its capacity and refuses what is out of range") {
  Rig rig(tiny_llama(), 2, 17);
  Bits logits(26);
  const auto forward = [&](const std::vector<Row>& rows, const Tokens& wanted = {}) {
    rig.engine->forward(rows, wanted, logits.data());
  };
  const Tokens tokens = random_tokens(17, 1, rig.config);
  for (std::size_t i = 0; i < 17; ++i) forward(rows_of(1, tokens, i, i + 1), {0});
  const Bits expected = alone(rig.config, tokens);
  CHECK(same_bits(logits, std::span(expected).last(26)));
  CHECK_THROWS_WITH_AS(forward({{1, 17, 1}}), "position 17 in slot 1 which holds 17 of 17 tokens",
                       Error);
  CHECK_THROWS_WITH_AS(forward({{2, 0, 1}}), "slot 2 of 2", Error);
  CHECK_THROWS_WITH_AS(forward({{0, 0, 26}}), "token 26 of a vocabulary of 26", Error);
  CHECK_THROWS_AS(forward({{0, 0, 1}}, {1}), Error);
  CHECK_THROWS_AS(rig.engine->copy_prefix(1, 2, 1), Error);
  CHECK_THROWS_AS(rig.engine->copy_prefix(1, 0, 18), Error);
}

TEST_CASE("a CPU engine without weights or of an impossible shape is refused") {
  const auto engine = make_cpu_engine(tiny_llama(), 1, 8);
  const Row row{0, 0, 1};
  CHECK_THROWS_WITH_AS(engine->forward({&row, 1}, {}, nullptr),
                       "the engine has no weights: call swap() before forward()", Error);
  CHECK_THROWS_AS(make_cpu_engine(tiny_llama(), 1, 65), Error);
  CHECK_THROWS_AS(make_cpu_engine(tiny_llama(), 0, 8), Error);
  CHECK(engine->batch_invariant());
}

TEST_SUITE_END();
