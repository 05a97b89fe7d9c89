#include "actors/link/weight_inbox.hpp"

#include "actors/link/site_report.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <capnp/message.h>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using support::problem_of;

const std::string kDigest(32, 'a');

struct Transfer {
  explicit Transfer(std::uint64_t elements = 6) : inbox(elements) {
    for (std::uint64_t i = 0; i < elements; ++i) values.push_back(static_cast<float>(i) + 0.5f);
  }
  kj::ArrayPtr<const kj::byte> bytes(std::size_t from, std::size_t to) const {
    return {reinterpret_cast<const kj::byte*>(values.data()) + from, to - from};
  }
  std::string put(std::size_t from, std::size_t to) { return put_at(from, from, to); }
  std::string put_at(std::uint64_t offset, std::size_t from, std::size_t to) {
    const auto piece = bytes(from, to);
    const wire::BucketDigest digest = wire::bucket_digest(piece);
    return problem_of(
        [&] { inbox.bucket(offset, piece, kj::arrayPtr(digest.data(), digest.size())); });
  }
  std::string begin(std::uint64_t version, std::uint64_t elements) {
    return problem_of([&] { inbox.begin(version, elements, kDigest); });
  }
  std::string commit() {
    return problem_of([&] { inbox.commit(); });
  }

  WeightInbox inbox;
  std::vector<float> values;
};

}  // namespace

TEST_CASE("buckets in order become the weights that were sent") {
  Transfer t;
  CHECK(t.begin(7, 6).empty());
  CHECK(t.put(0, 8).empty());
  CHECK(t.inbox.received_bytes() == 8);
  CHECK_FALSE(static_cast<bool>(t.inbox.weights()));
  CHECK(t.put(8, 21).empty());  // need not end between two values
  CHECK(t.put(21, 24).empty());
  CHECK(t.commit().empty());
  const Weights& weights = t.inbox.weights();
  REQUIRE(static_cast<bool>(weights));
  CHECK(weights.version() == 7);
  CHECK(weights.digest() == kDigest);
  CHECK(std::equal(t.values.begin(), t.values.end(), weights.values().get()));
}

TEST_CASE("a bucket that leaves a hole or overlaps is refused and the rest may still come") {
  Transfer t;
  t.begin(7, 6);
  CHECK(t.put(8, 16).find("out of place") != std::string::npos);
  CHECK(t.put(0, 8).empty());
  CHECK(t.put(0, 8).find("out of place") != std::string::npos);
  CHECK(t.put(4, 8).find("out of place") != std::string::npos);
  CHECK(t.put(8, 24).empty());
  CHECK(t.commit().empty());
}

TEST_CASE("a bucket beyond the end of the weights is refused") {
  Transfer t(6);
  t.begin(7, 6);
  t.put(0, 20);
  CHECK(t.put_at(20, 0, 8).find("out of place") != std::string::npos);
  CHECK(t.put_at(std::numeric_limits<std::uint64_t>::max() - 3, 0, 8).find("out of place") !=
        std::string::npos);
  CHECK(t.put(20, 24).empty());
  CHECK(t.put_at(24, 0, 1).find("out of place") != std::string::npos);
}

TEST_CASE("a damaged bucket makes void what was received") {
  for (const std::size_t digest_size : {std::size_t{16}, std::size_t{15}, std::size_t{0}}) {
    CAPTURE(digest_size);
    Transfer t;
    t.begin(7, 6);
    t.put(0, 8);
    wire::BucketDigest digest = wire::bucket_digest(t.bytes(8, 16));
    if (digest_size == digest.size()) digest[15] ^= 1;
    const std::string problem = problem_of(
        [&] { t.inbox.bucket(8, t.bytes(8, 16), kj::arrayPtr(digest.data(), digest_size)); });
    CHECK(problem.starts_with("digest_mismatch"));  // bridge.hpp makes an Errc of this word
    CHECK(t.put(8, 16).find("out of place") != std::string::npos);
    CHECK_FALSE(t.commit().empty());
    CHECK_FALSE(static_cast<bool>(t.inbox.weights()));
    t.begin(7, 6);
    CHECK(t.put(0, 24).empty());
    CHECK(t.commit().empty());
    CHECK(static_cast<bool>(t.inbox.weights()));
  }
}

TEST_CASE("weights of another model are refused before memory is taken") {
  Transfer t(6);
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;  // no machine has as much
  for (const std::uint64_t elements : {std::uint64_t{5}, std::uint64_t{7}, kHuge})
    CHECK(t.begin(7, elements).find("another model") != std::string::npos);
  CHECK(t.put(0, 8).find("out of place") != std::string::npos);
}

TEST_CASE("nothing can be committed before all has come and nothing twice") {
  Transfer t;
  CHECK_FALSE(t.commit().empty());
  t.begin(7, 6);
  CHECK_FALSE(t.commit().empty());
  t.put(0, 23);
  CHECK(t.commit().find("not complete") != std::string::npos);
  CHECK_FALSE(static_cast<bool>(t.inbox.weights()));
  t.put(23, 24);
  CHECK(t.commit().empty());
  CHECK_FALSE(t.commit().empty());
  CHECK_FALSE(t.put(0, 8).empty());
}

TEST_CASE("a new beginning starts over with its own version") {
  Transfer t;
  t.begin(7, 6);
  t.put(0, 16);
  t.begin(8, 6);
  CHECK(t.put(16, 24).find("out of place") != std::string::npos);
  t.values[0] = 99;
  CHECK(t.put(0, 24).empty());
  CHECK(t.commit().empty());
  CHECK(t.inbox.weights().version() == 8);
  CHECK(t.inbox.weights().values()[0] == 99);
  CHECK(t.inbox.received_bytes() == 40);  // never falls, so that a restart counts as movement
}

TEST_CASE("what a process says about itself comes through whole") {
  SiteReport said;
  said.host = "node-3";
  said.process_id = 71;
  said.in_flight = 12;
  said.tokens = 1ull << 40;
  said.tokens_per_second = 1234.5;
  said.busy_seconds = 7.25;
  said.idle_seconds = 0.75;
  for (const bool has_version : {false, true}) {
    if (has_version) said.version = 0;
    capnp::MallocMessageBuilder message;
    write(said, message.initRoot<wire::SiteFacts>());
    const SiteReport heard = read_report(message.getRoot<wire::SiteFacts>().asReader());
    CHECK(heard.host == said.host);
    CHECK(heard.process_id == said.process_id);
    CHECK(heard.version == said.version);
    CHECK(heard.in_flight == said.in_flight);
    CHECK(heard.tokens == said.tokens);
    CHECK(heard.tokens_per_second == said.tokens_per_second);
    CHECK(heard.busy_seconds == said.busy_seconds);
    CHECK(heard.idle_seconds == said.idle_seconds);
  }
}

TEST_CASE("a figure that cannot be is refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double figure : {nan, infinity, -infinity, -1e-9}) {
    for (double SiteReport::*which :
         {&SiteReport::tokens_per_second, &SiteReport::busy_seconds, &SiteReport::idle_seconds}) {
      SiteReport said;
      said.*which = figure;
      capnp::MallocMessageBuilder message;
      write(said, message.initRoot<wire::SiteFacts>());
      CHECK_FALSE(
          problem_of([&] { read_report(message.getRoot<wire::SiteFacts>().asReader()); }).empty());
    }
  }
}

}  // namespace troupe
