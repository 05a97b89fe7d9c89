#include "messages/shown_rollout.hpp"

#include "tests/support/shown_rollouts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <kj/exception.h>
#include <limits>
#include <random>
#include <string>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {

using Builder = wire::ShownRollout::Builder;

/// Whether a good one is refused once `spoil` has changed it.
template <class Spoil>
bool refused(Spoil&& spoil) {
  try {
    static_cast<void>(ShownRollout::build([&](Builder builder) {
      support::fill(builder, {});
      spoil(builder);
    }));
    return false;
  } catch (const kj::Exception&) {
    return true;
  }
}

kj::Array<capnp::word> words_of(const ShownRollout& message, std::size_t count) {
  auto copy = kj::heapArray<capnp::word>(count);
  const auto bytes = message.words().slice(0, count).asBytes();
  std::copy(bytes.begin(), bytes.end(), copy.asBytes().begin());
  return copy;
}

}  // namespace

TEST_CASE("a shown rollout that breaks nothing is accepted") {
  CHECK_FALSE(refused([](Builder) {}));
  CHECK_FALSE(refused([](Builder r) { r.initLearnerLogProbs(0); }));  // not measured
  CHECK_FALSE(refused([](Builder r) {                                 // shown in part
    r.setCompletionTokens(40'000);
    r.getVersions()[0].setCount(40'000);
  }));
}

TEST_CASE("a shown rollout whose lists do not fit each other is refused") {
  CHECK(refused([](Builder r) { r.initLogProbs(2); }));
  CHECK(refused([](Builder r) { r.initLogProbs(4); }));
  CHECK(refused([](Builder r) { r.initLearnerLogProbs(4); }));
  CHECK(refused([](Builder r) { r.setPromptTokens(1); }));
  CHECK(refused([](Builder r) { r.setPromptTokens(6); }));
  CHECK(refused([](Builder r) { r.setPromptTokens(0xffffffff); }));
  CHECK(refused([](Builder r) { r.setCompletionTokens(2); }));
  CHECK(refused([](Builder r) { r.setCompletionTokens(4); }));  // not covered by versions
  CHECK(refused([](Builder r) { r.getVersions()[0].setCount(2); }));
  CHECK(refused([](Builder r) { r.getVerdict().setRollout(6); }));
}

TEST_CASE("a shown rollout with more than is shown of any is refused") {
  CHECK(refused([](Builder r) {
    r.initTokens(kMostShownTokens + 1);
    r.setPromptTokens(kMostShownTokens + 1);
    r.initLogProbs(0);
    r.initLearnerLogProbs(0);
  }));
  CHECK(refused([](Builder r) {
    r.initTokens(0);
    r.setPromptTokens(0);
    r.initLogProbs(0);
    r.initLearnerLogProbs(0);
  }));
  CHECK(refused([](Builder r) { r.setGenerator(std::string(kMostNameBytes + 1, 'g')); }));
  CHECK(
      refused([](Builder r) { r.getVerdict().setVerifier(std::string(kMostNameBytes + 1, 'v')); }));
  CHECK(
      refused([](Builder r) { r.getVerdict().setReason(std::string(kMostReasonBytes + 1, 'r')); }));
}

TEST_CASE("a shown rollout with figures that are none is refused") {
  const float none = std::numeric_limits<float>::quiet_NaN();
  CHECK(refused([](Builder r) { r.getTokens().set(4, -1); }));
  CHECK(refused([](Builder r) { r.setStage(-1); }));
  CHECK(refused([](Builder r) { r.setUpdate(-1); }));
  CHECK(refused([&](Builder r) { r.getLogProbs().set(1, none); }));
  CHECK(refused([](Builder r) { r.getLogProbs().set(1, 0.5f); }));
  CHECK(refused([&](Builder r) { r.getLearnerLogProbs().set(2, none); }));
  CHECK(refused([&](Builder r) { r.getVerdict().setReward(none); }));
  CHECK(refused([](Builder r) { r.getVerdict().setAccuracy(1.5f); }));
  CHECK(refused([](Builder r) {
    auto runs = r.initVersions(2);
    runs[0].setVersion(8);
    runs[0].setCount(1);
    runs[1].setVersion(7);
    runs[1].setCount(2);
  }));
}

TEST_CASE("a shown rollout that is cut short is refused at every length") {
  const ShownRollout good = support::shown();
  for (std::size_t words = 0; words < good.words().size(); ++words)
    CHECK_THROWS_AS(ShownRollout(words_of(good, words)), kj::Exception);
}

TEST_CASE("a mutated shown rollout is refused or can be read in full") {
  const ShownRollout good = support::shown();
  std::mt19937_64 random(11);
  int survivors = 0;
  for (int i = 0; i < 20'000; ++i) {
    kj::Array<capnp::word> words = words_of(good, good.words().size());
    auto* bytes = reinterpret_cast<std::uint8_t*>(words.begin());
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % (words.size() * sizeof(capnp::word))] ^=
          static_cast<std::uint8_t>(1u << (random() % 8));
    try {
      const ShownRollout mutant(std::move(words));
      ++survivors;
      const auto read = mutant.read();
      CHECK(read.getLogProbs().size() + read.getPromptTokens() == read.getTokens().size());
      CHECK(read.getLearnerLogProbs().size() <= read.getLogProbs().size());
      read.getVerdict().getReason();
      read.getGenerator();
    } catch (const kj::Exception&) {
    }
  }
  CHECK(survivors > 0);
  CHECK(survivors < 20'000);
}

}  // namespace troupe

TEST_SUITE_END();
