#include "actors/link/weight_inbox.hpp"

#include "actors/link/site_report.hpp"
#include "messages/weight_delta.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <capnp/message.h>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

using support::problem_of;

const std::string kDigest(32, 'a');

WeightManifest manifest_for(std::uint64_t elements) {
  return {{"w", "float32", {elements}, 0}};
}

struct Transfer {
  explicit Transfer(std::uint64_t elements = 6) : inbox(manifest_for(elements)) {
    for (std::uint64_t i = 0; i < elements; ++i) values.push_back(static_cast<float>(i) + 0.5f);
  }
  kj::ArrayPtr<const kj::byte> bytes(std::size_t from, std::size_t to) const {
    return {reinterpret_cast<const kj::byte*>(values.data()) + from, to - from};
  }
  std::string put(std::size_t from, std::size_t to) { return put_at(from, from, to); }
  std::string put_at(std::uint64_t offset, std::size_t from, std::size_t to) {
    return put_bytes(inbox, offset, bytes(from, to));
  }
  static std::string put_bytes(WeightInbox& to, std::uint64_t offset,
                               kj::ArrayPtr<const kj::byte> piece) {
    const wire::BucketDigest digest = wire::bucket_digest(piece);
    return problem_of(
        [&] { to.bucket(offset, piece, kj::arrayPtr(digest.data(), digest.size())); });
  }
  /// As a peer may write it, checked by nobody.
  std::string begin(
      std::uint64_t version, const WeightManifest& manifest, std::uint64_t elements,
      const std::function<void(wire::WeightsHeader::Builder)>& change =
          [](wire::WeightsHeader::Builder) {}) {
    capnp::MallocMessageBuilder message;
    auto header = message.initRoot<wire::WeightsHeader>();
    header.setVersion(version);
    header.setDigest(kDigest);
    header.setElements(elements);
    write(manifest, header.initTensors(static_cast<unsigned>(manifest.size())));
    const Sha256 digest = sha256(bytes(0, values.size() * sizeof(float)));
    header.setSha256(kj::arrayPtr(digest.data(), digest.size()));
    change(header);
    return problem_of([&] { inbox.begin(header); });
  }
  std::string begin(std::uint64_t version, std::uint64_t elements) {
    return begin(version, manifest_for(elements), elements);
  }
  std::string commit() {
    return problem_of([&] { inbox.commit(); });
  }
  Weights opened() const { return open(inbox.parcel()); }

  WeightInbox inbox;
  std::vector<float> values;
};

/// What a receiver that holds a version is sent to get the next.
struct Change {
  Change() {
    values[1] = -1;
    const auto code = encode_delta(before.bytes(), after().bytes(), sizeof(float), 1000);
    delta = *code;
    base.assign(before.header().getSha256().begin(), before.header().getSha256().end());
  }
  static Weights version(std::uint64_t number, const std::vector<float>& from) {
    const auto kept = std::shared_ptr<float[]>(new float[from.size()]);
    std::copy(from.begin(), from.end(), kept.get());
    return attested(Weights(number, kDigest, kept, from.size()), manifest_for(from.size()));
  }
  Weights after() const { return version(8, values); }
  std::string begin() {
    return problem_of([&] { inbox.begin(after().header()); });
  }
  std::string change(std::uint64_t bytes) {
    return problem_of([&] { inbox.change({base.data(), base.size()}, bytes); });
  }
  std::string put() { return Transfer::put_bytes(inbox, 0, {delta.data(), delta.size()}); }
  std::string commit() {
    return problem_of([&] { inbox.commit(); });
  }

  std::vector<float> values{1, 2, 3, 4};
  Weights before = version(7, values);
  WeightInbox inbox{manifest_for(4), before};
  std::vector<kj::byte> delta, base;
};

}  // namespace

TEST_CASE("buckets in order become the weights that were sent") {
  Transfer t;
  CHECK(t.begin(7, 6).empty());
  CHECK(t.put(0, 8).empty());
  CHECK(t.inbox.received_bytes() == 8);
  CHECK_FALSE(static_cast<bool>(t.inbox.parcel()));
  CHECK(t.put(8, 21).empty());  // need not end between two values
  CHECK(t.put(21, 24).empty());
  CHECK(t.commit().empty());
  const Weights weights = t.opened();
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
    CHECK_FALSE(static_cast<bool>(t.inbox.parcel()));
    t.begin(7, 6);
    CHECK(t.put(0, 24).empty());
    CHECK(t.commit().empty());
    CHECK(static_cast<bool>(t.inbox.parcel()));
  }
}

TEST_CASE("weights of another model are refused before memory is taken") {
  Transfer t(6);
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 61;  // no machine has as much
  for (const std::uint64_t elements : {std::uint64_t{5}, std::uint64_t{7}, kHuge})
    CHECK(t.begin(7, elements).find("another model") != std::string::npos);
  CHECK(t.begin(7, {{"v", "float32", {6}, 0}}, 6)
            .find("tensor 0 is w float32 [6] at byte 0 here and v float32 [6] at byte 0 there") !=
        std::string::npos);
  CHECK(t.begin(7, {}, 6).find("1 tensors here and 0 there") != std::string::npos);
  CHECK(t.begin(7, manifest_for(6), 6, [](auto header) {
           header.initSha256(0);
         }).find("without a SHA-256") != std::string::npos);
  CHECK_FALSE(t.begin(7, manifest_for(6), 6, [](auto header) { header.setDigest("?"); }).empty());
  CHECK_FALSE(t.begin(7, manifest_for(6), 6, [](auto header) { header.initSha256(31); }).empty());
  CHECK(t.put(0, 8).find("out of place") != std::string::npos);
}

TEST_CASE("values that are not those of the SHA-256 are refused") {
  Transfer t;
  t.begin(7, manifest_for(6), 6, [](auto header) { header.getSha256()[31] ^= 1; });
  CHECK(t.put(0, 24).empty());
  CHECK(t.commit().empty());
  CHECK(problem_of([&] { t.opened(); }).starts_with("digest_mismatch"));
}

TEST_CASE("memory takes the place of buckets") {
  Transfer t;
  const auto memory = std::shared_ptr<float[]>(new float[6]);
  std::copy(t.values.begin(), t.values.end(), memory.get());
  CHECK_FALSE(problem_of([&] { t.inbox.map(memory); }).empty());
  t.begin(7, 6);
  CHECK(problem_of([&] { t.inbox.map(memory); }).empty());
  CHECK(t.inbox.received_bytes() == 24);
  CHECK(t.put(0, 8).find("out of place") != std::string::npos);
  CHECK(t.commit().empty());
  CHECK(t.opened().values() == memory);
  t.begin(7, 6);
  t.put(0, 8);
  CHECK_FALSE(problem_of([&] { t.inbox.map(memory); }).empty());
}

TEST_CASE_FIXTURE(Change,
                  "changes to the version that is held give the next and leave the held one") {
  CHECK(begin().empty());
  CHECK(change(delta.size()).empty());
  CHECK(put().empty());
  CHECK(commit().empty());
  const Weights next = open(inbox.parcel());
  CHECK(next.version() == 8);
  CHECK(std::equal(values.begin(), values.end(), next.values().get()));
  CHECK(before.values()[1] == 2);
}

TEST_CASE_FIXTURE(Change, "changes to another version or out of place or without end are refused") {
  CHECK_FALSE(change(delta.size()).empty());
  begin();
  CHECK(change(4 * 16 + 1).find("larger than any") != std::string::npos);
  base[0] ^= 1;
  CHECK(change(delta.size()).find("not held") != std::string::npos);
  base[0] ^= 1;
  CHECK(change(delta.size() + 1).empty());
  CHECK(put().empty());
  CHECK(commit().find("not complete") != std::string::npos);
  WeightInbox empty(manifest_for(4));
  empty.begin(after().header());
  CHECK_FALSE(problem_of([&] { empty.change({base.data(), base.size()}, delta.size()); }).empty());
}

TEST_CASE_FIXTURE(Change, "damaged changes are refused as a whole and the held version stays") {
  for (const std::size_t at : {std::size_t{0}, std::size_t{2}}) {  // a gap and a value
    delta[at] ^= 0x40;
    begin();
    change(delta.size());
    put();
    CHECK(commit().empty());
    CHECK(problem_of([&] { open(inbox.parcel()); }).starts_with("digest_mismatch"));
    CHECK(before.values()[1] == 2);
    delta[at] ^= 0x40;
  }
}

TEST_CASE("nothing can be committed before all has come and nothing twice") {
  Transfer t;
  CHECK_FALSE(t.commit().empty());
  t.begin(7, 6);
  CHECK_FALSE(t.commit().empty());
  t.put(0, 23);
  CHECK(t.commit().find("not complete") != std::string::npos);
  CHECK_FALSE(static_cast<bool>(t.inbox.parcel()));
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
  CHECK(t.inbox.parcel().header.read().getVersion() == 8);
  CHECK(t.inbox.parcel().values[0] == 99);
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
