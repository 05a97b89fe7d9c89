#include "actors/link/rank_stream.hpp"

#include "tests/support/communicator_checks.hpp"
#include "tests/support/tls_ranks.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

constexpr std::chrono::milliseconds kPatience{30000};

TEST_CASE("two ranks over TLS sum floats as threads do") {
  support::TlsRanks ranks(kPatience);
  for (const std::size_t count : {1, 1000, 3'000'000}) support::check_sums(ranks.ends, count);
}

TEST_CASE("two ranks over TLS gather and broadcast") {
  support::TlsRanks ranks(kPatience);
  support::check_copies(ranks.ends, 20'000'001);  // more than a stream holds
}

TEST_CASE("a rank whose peer is gone learns it from the connection") {
  support::TlsRanks ranks(kPatience);
  support::check_sums(ranks.ends, 100);
  ranks.one.on_loop([](support::RankSide& side) { side.running = kj::READY_NOW; });
  CHECK_THROWS_WITH(ranks.ends[0]->barrier(),
                    "rank 0 of 2: barrier: rank 1: the other side closed the connection");
  CHECK_THROWS(ranks.ends[1]->barrier());
}

TEST_CASE("a rank over TLS that does not come is noticed after the deadline") {
  support::TlsRanks ranks(std::chrono::milliseconds(100));
  support::check_absence(ranks.ends);
}

TEST_CASE("a rank over TLS that waits is released by an abort") {
  support::TlsRanks ranks(kPatience);
  support::check_abort(ranks.ends);
}

}  // namespace
}  // namespace troupe
