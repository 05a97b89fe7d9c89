#include "messages/rollout.hpp"

#include "tests/support/rollouts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <capnp/message.h>
#include <functional>
#include <kj/exception.h>
#include <limits>
#include <random>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {

using support::rollout;

/// Builds a good rollout, lets `spoil` change it, and says whether it is refused.
template <class Spoil>
bool refused(Spoil&& spoil) {
  const Rollout good = rollout({});
  capnp::MallocMessageBuilder builder;
  builder.setRoot(good.read());
  spoil(builder.getRoot<wire::Rollout>());
  try {
    Rollout bad(capnp::messageToFlatArray(builder));
    return false;
  } catch (const kj::Exception&) {
    return true;
  }
}

kj::Array<capnp::word> copy_of_first(std::size_t words, const Rollout& message) {
  auto copy = kj::heapArray<capnp::word>(words);
  const auto bytes = message.words().slice(0, words).asBytes();
  std::copy(bytes.begin(), bytes.end(), copy.asBytes().begin());  // a word has no copy constructor
  return copy;
}

kj::Array<capnp::word> copy_of(const Rollout& message) {
  return copy_of_first(message.words().size(), message);
}

}  // namespace

TEST_CASE("a rollout reads back what was written and copies share it") {
  const Rollout one = rollout({.ticket = 5,
                               .index = 3,
                               .prompt = {1, 4},
                               .completion = {6, 2},
                               .versions = {{7, 1}, {8, 1}}});
  const Rollout other = one;
  CHECK(other.read().getTicket() == 5);
  CHECK(other.read().getIndex() == 3);
  CHECK(tokens_of(other.read().getTokens()) == std::vector<std::int32_t>{1, 4, 6, 2});
  CHECK(other.read().getPromptLength() == 2);
  CHECK(other.read().getVersions()[1].getVersion() == 8);
  CHECK(other.words().begin() == one.words().begin());
}

TEST_CASE("the unspoiled rollout is accepted") {
  CHECK_FALSE(refused([](wire::Rollout::Builder) {}));
}

TEST_CASE("a rollout with a prompt length outside its tokens is refused") {
  CHECK(refused([](wire::Rollout::Builder r) { r.setPromptLength(0); }));
  CHECK(refused([](wire::Rollout::Builder r) { r.setPromptLength(5); }));
  CHECK(refused([](wire::Rollout::Builder r) { r.setPromptLength(0xffffffff); }));
}

TEST_CASE("a rollout needs one finite log-prob per completion token") {
  CHECK(refused([](wire::Rollout::Builder r) { r.initLogProbs(2); }));
  CHECK(refused([](wire::Rollout::Builder r) {
    r.getLogProbs().set(1, std::numeric_limits<float>::quiet_NaN());
  }));
  CHECK(refused([](wire::Rollout::Builder r) { r.getLogProbs().set(0, 0.5f); }));
  CHECK(refused([](wire::Rollout::Builder r) {
    r.getLogProbs().set(0, -std::numeric_limits<float>::infinity());
  }));
}

TEST_CASE("versions must cover the completion and ascend") {
  CHECK(refused([](wire::Rollout::Builder r) { r.getVersions()[0].setCount(2); }));
  CHECK(refused([](wire::Rollout::Builder r) {
    auto runs = r.initVersions(2);
    runs[0].setVersion(4);
    runs[0].setCount(1);
    runs[1].setVersion(3);
    runs[1].setCount(2);
  }));
  CHECK(refused([](wire::Rollout::Builder r) {
    auto runs = r.initVersions(2);
    runs[0].setCount(3);
    runs[1].setCount(0);
  }));
}

TEST_CASE("a negative token is refused") {
  CHECK(refused([](wire::Rollout::Builder r) { r.getTokens().set(2, -1); }));
}

TEST_CASE("a truncated rollout is refused at every length") {
  const Rollout good = rollout({});
  for (std::size_t words = 0; words < good.words().size(); ++words)
    CHECK_THROWS_AS(Rollout(copy_of_first(words, good)), kj::Exception);
}

TEST_CASE("a mutated rollout is refused or can be read in full") {
  const Rollout good = rollout({.completion = {3, 4, 5, 6, 2}});
  std::mt19937_64 random(7);
  int survivors = 0;
  for (int i = 0; i < 20'000; ++i) {
    kj::Array<capnp::word> words = copy_of(good);
    auto* bytes = reinterpret_cast<std::uint8_t*>(words.begin());
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % (words.size() * sizeof(capnp::word))] ^=
          static_cast<std::uint8_t>(1u << (random() % 8));
    try {
      const Rollout mutant(std::move(words));
      ++survivors;
      CHECK(mutant.read().getLogProbs().size() + mutant.read().getPromptLength() ==
            mutant.read().getTokens().size());
      mutant.read().getGenerator();
    } catch (const kj::Exception&) {
    }
  }
  CHECK(survivors > 0);
  CHECK(survivors < 20'000);
}

TEST_CASE("a ticket must name rollouts of its group in order") {
  const auto ticket = [](std::vector<std::uint32_t> indices) {
    return Ticket::build([&](wire::Ticket::Builder t) {
      const std::vector<std::int32_t> prompt = {1, 2};
      t.setPromptTokens(kj::arrayPtr(prompt.data(), prompt.size()));
      t.setIndices(kj::arrayPtr(indices.data(), indices.size()));
      t.setGroupSize(4);
    });
  };
  CHECK_NOTHROW(ticket({0, 3}));
  CHECK_THROWS_AS(ticket({}), kj::Exception);
  CHECK_THROWS_AS(ticket({4}), kj::Exception);
  CHECK_THROWS_AS(ticket({2, 1}), kj::Exception);
  CHECK_THROWS_AS(ticket({1, 1}), kj::Exception);
}

TEST_CASE("a ticket carries parts of rollouts that it asks for and of no others") {
  using Part = wire::PartialRollout::Builder;
  const auto ticket = [](
                          std::vector<std::uint32_t> indices, std::vector<std::uint32_t> begun,
                          const std::function<void(Part)>& spoil = [](Part) {}) {
    return Ticket::build([&](wire::Ticket::Builder t) {
      t.initPromptTokens(1).set(0, 1);
      t.setIndices(kj::arrayPtr(indices.data(), indices.size()));
      t.setGroupSize(8);
      auto parts = t.initParts(static_cast<unsigned>(begun.size()));
      for (unsigned i = 0; i < parts.size(); ++i)
        support::write_part(parts[i], begun[i], {{3, 2}, {5, 1}});
      if (parts.size() > 0) spoil(parts[parts.size() - 1]);
    });
  };
  CHECK_NOTHROW(ticket({0, 3, 4}, {}));
  CHECK_NOTHROW(ticket({0, 3, 4}, {0, 4}));
  CHECK_NOTHROW(ticket({0, 3, 4}, {0, 3, 4}));
  CHECK_THROWS_AS(ticket({0, 3, 4}, {1}), kj::Exception);
  CHECK_THROWS_AS(ticket({0, 3, 4}, {7}), kj::Exception);
  CHECK_THROWS_AS(ticket({0, 3, 4}, {4, 0}), kj::Exception);
  CHECK_THROWS_AS(ticket({0, 3, 4}, {3, 3}), kj::Exception);
  const auto refused = [&](const std::function<void(Part)>& spoil) {
    CHECK_THROWS_AS(ticket({0, 3}, {0, 3}, spoil), kj::Exception);
  };
  refused([](Part p) { p.getTokens().set(1, -1); });
  refused([](Part p) { p.initTokens(2); });
  refused([](Part p) { p.initLogProbs(4); });
  refused([](Part p) { p.getLogProbs().set(2, std::numeric_limits<float>::quiet_NaN()); });
  refused([](Part p) { p.getLogProbs().set(0, 0.5f); });
  refused([](Part p) { p.getVersions()[0].setCount(3); });
  refused([](Part p) { p.getVersions()[0].setVersion(6); });
  refused([](Part p) { support::write_part(p, 3, {}); });
}

TEST_CASE("a part may be empty where nothing had begun") {
  CHECK(support::part(2, {}).read().getTokens().size() == 0);
  CHECK_THROWS_AS(support::part(2, {{4, 0}}), kj::Exception);
}

TEST_CASE("rollouts and tickets may be long") {
  constexpr std::uint32_t kLong = 200'000;
  const Rollout whole = rollout({.completion = std::vector<std::int32_t>(kLong, 5)});
  CHECK(whole.read().getLogProbs().size() == kLong);
  CHECK_NOTHROW(Ticket::build([&](wire::Ticket::Builder t) {
    t.initPromptTokens(kLong);
    t.initIndices(1);
    t.setGroupSize(1);
    support::write_part(t.initParts(1)[0], 0, {{1, kLong}});
  }));
}

TEST_CASE("a verdict needs finite numbers and a known outcome") {
  const Rollout one = rollout({});
  CHECK_NOTHROW(support::verdict(one, 1.1f));
  CHECK_THROWS_AS(support::verdict(one, std::numeric_limits<float>::infinity()), kj::Exception);
  CHECK_THROWS_AS(support::verdict(one, 1.0f, static_cast<wire::Verdict::Outcome>(3)),
                  kj::Exception);
}

TEST_CASE("rollout ids differ by prompt and ticket and index and never by attempt") {
  CHECK(rollout_id(1, 2, 3) == rollout_id(1, 2, 3));
  CHECK(rollout_id(1, 2, 3) != rollout_id(2, 2, 3));
  CHECK(rollout_id(1, 2, 3) != rollout_id(1, 3, 3));
  CHECK(rollout_id(1, 2, 3) != rollout_id(1, 2, 4));
  CHECK(rollout_id(1, 2, 3) != rollout_id(1, 3, 2));
}

}  // namespace troupe
