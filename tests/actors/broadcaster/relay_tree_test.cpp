#include "actors/broadcaster/relay_tree.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/broadcaster");

namespace troupe {
namespace {

constexpr double kFast = 1.25e9, kSlow = 1.25e8;  // bytes per second: 10 and 1 Gbit/s
constexpr std::uint64_t kVersion = 1'250'000'000;

/// "g-0", "g-1", ... each on a host of its own unless `per_host` share one.
std::vector<RelayReceiver> receivers(int count, int per_host = 1) {
  std::vector<RelayReceiver> all;
  for (int i = 0; i < count; ++i)
    all.push_back({"g-" + std::to_string(i), "host-" + std::to_string(i / per_host), kFast});
  return all;
}

std::map<std::string, std::string> sources(const RelayTree& plan,
                                           const std::vector<RelayReceiver>& of) {
  std::map<std::string, std::string> all;
  for (const RelayReceiver& one : of) all[one.name] = plan.source(one.name);
  return all;
}

/// Everyone is reached once from the publisher, and nobody serves more than `fan_out` others on other hosts.
void check_tree(const RelayTree& plan, std::size_t fan_out, std::size_t per_host = 1) {
  std::vector<std::string> front = plan.served_by("");
  CHECK(front.size() <= fan_out);
  std::set<std::string> reached(front.begin(), front.end());
  std::size_t total = front.size();
  while (!front.empty()) {
    std::vector<std::string> next;
    for (const std::string& name : front)
      for (const std::string& served : plan.served_by(name)) {
        CHECK(plan.source(served) == name);
        next.push_back(served);
      }
    for (const std::string& name : front)
      CHECK(plan.served_by(name).size() <= fan_out + per_host - 1);
    total += next.size();
    reached.insert(next.begin(), next.end());
    front = std::move(next);
  }
  CHECK(total == plan.size());
  CHECK(reached.size() == plan.size());
}

}  // namespace

TEST_CASE("a thousand receivers are each served once in a shallow tree") {
  for (const std::uint32_t fan_out : {1u, 2u, 3u, 4u, 8u, 2000u}) {
    CAPTURE(fan_out);
    const RelayTree plan(fan_out, receivers(1000));
    check_tree(plan, fan_out);
    CHECK(plan.served_by("").size() == std::min<std::size_t>(fan_out, 1000));
    std::uint32_t deepest = 0;
    for (const RelayReceiver& one : receivers(1000))
      deepest = std::max(deepest, plan.depth(one.name));
    std::uint32_t rows = 0;  // that hold a thousand
    for (double room = 0; room < 1000; ++rows) room += std::pow(fan_out, rows + 1);
    CHECK(deepest == rows);
  }
}

TEST_CASE("a plan is a function of its receivers whatever their order") {
  auto mixed = receivers(1000);
  std::shuffle(mixed.begin(), mixed.end(), std::mt19937_64(3));
  CHECK(sources(RelayTree(4, mixed), mixed) == sources(RelayTree(4, receivers(1000)), mixed));
}

TEST_CASE("the time of a plan is that of its slowest path") {
  CHECK(RelayTree(4, {}).seconds(kVersion, kFast) == 0);
  CHECK(RelayTree(4, receivers(1)).seconds(kVersion, kFast) == doctest::Approx(1));
  CHECK(RelayTree(4, receivers(4)).seconds(kVersion, kFast) == doctest::Approx(4));
  CHECK(RelayTree(4, receivers(5)).seconds(kVersion, kFast) == doctest::Approx(5));
  CHECK(RelayTree(4, receivers(1)).seconds(kVersion, kSlow) == doctest::Approx(10));
  // Rows of 4, 16, 64 and 256 take 4 s each; the last row is full from its first place on.
  CHECK(RelayTree(4, receivers(1000)).seconds(kVersion, kFast) == doctest::Approx(5 * 4));
  CHECK(RelayTree(1000, receivers(1000)).seconds(kVersion, kFast) == doctest::Approx(1000));
}

TEST_CASE("slow receivers hand nothing on while there are fast ones enough") {
  auto mixed = receivers(20);
  for (int i = 0; i < 15; ++i) mixed[static_cast<std::size_t>(i)].bytes_per_second = kSlow;
  const RelayTree plan(4, mixed);
  for (int i = 0; i < 15; ++i) CHECK(plan.served_by("g-" + std::to_string(i)).empty());
  CHECK(plan.seconds(kVersion, kFast) == doctest::Approx(4 + 10));
}

TEST_CASE("one receiver of a host receives for all of it") {
  const RelayTree plan(2, receivers(1000, 8));
  check_tree(plan, 2, 8);
  const RelayTree alone(2, receivers(125));
  CHECK(plan.seconds(kVersion, kFast) == alone.seconds(kVersion, kFast));
  CHECK(plan.depth("g-0") == plan.depth("g-1"));
}

TEST_CASE("who leaves costs few moves and who joins none") {
  for (const int per_host : {1, 3}) {
    CAPTURE(per_host);
    constexpr std::uint32_t kFanOut = 4;
    auto there = receivers(1000, per_host);
    RelayTree plan(kFanOut, there);
    std::mt19937_64 dice(5);
    for (int round = 0; round < 300; ++round) {
      const auto gone = there.begin() + static_cast<long>(dice() % there.size());
      const RelayReceiver leaver = *gone;
      there.erase(gone);
      const auto before = sources(plan, there);
      const auto told = plan.leave(leaver.name);
      std::set<std::string> moved;
      for (const auto& [name, source] : sources(plan, there))
        if (source != before.at(name)) moved.insert(name);
      CHECK(moved == std::set<std::string>(told.begin(), told.end()));
      CHECK(told.size() <= kFanOut + 1 + static_cast<std::size_t>(per_host) - 1);
      if (round % 3 == 0) {
        const auto with_gap = sources(plan, there);
        plan.join(leaver);
        CHECK(sources(plan, there) == with_gap);
        there.push_back(leaver);
      }
    }
    check_tree(plan, kFanOut, static_cast<std::size_t>(per_host));
  }
}

TEST_CASE("a plan names what it cannot do") {
  CHECK_THROWS_AS(RelayTree(0, {}), std::invalid_argument);
  CHECK_THROWS_AS(RelayTree(2, {{"a", "h", 1}, {"a", "i", 1}}), std::invalid_argument);
  RelayTree plan(2, receivers(3));
  CHECK_THROWS_AS(plan.leave("g-3"), std::out_of_range);
  CHECK_THROWS_AS(plan.source("g-3"), std::out_of_range);
  for (const char* name : {"g-0", "g-1", "g-2"}) plan.leave(name);
  CHECK(plan.size() == 0);
  CHECK(plan.served_by("").empty());
}

}  // namespace troupe
