#include "actors/link/digest_book.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

struct Header {
  explicit Header(std::uint64_t version, char sha256 = 's', char digest = 'd') {
    auto header = message.initRoot<wire::WeightsHeader>();
    header.setVersion(version);
    header.setDigest(std::string(32, digest));
    for (kj::byte& byte : header.initSha256(32)) byte = static_cast<kj::byte>(sha256);
  }
  wire::WeightsHeader::Reader read() { return message.getRoot<wire::WeightsHeader>().asReader(); }
  capnp::MallocMessageBuilder message;
};

}  // namespace

TEST_CASE("a book of digests forgets the oldest version first") {
  DigestBook book;
  CHECK(book.awaits(0));
  const std::uint64_t last = 5 + DigestBook::kVersions;
  for (std::uint64_t version = 5; version <= last; ++version) book.note(Header(version).read());
  CHECK(book.find(5) == Digests{});
  CHECK(book.find(6) == Digests{std::string(32, 's'), std::string(32, 'd')});
  CHECK(book.newest() == last);
  CHECK_FALSE(book.awaits(5));
  CHECK_FALSE(book.awaits(last));
  CHECK(book.awaits(last + 1));
}

TEST_CASE("a version counts that the witness knows by the same digests") {
  const Digests witness = digests_of(Header(7).read());
  CHECK(vouch(Header(7).read(), 7, witness, 7) == Vouched::good);
  CHECK(vouch(Header(7).read(), 5, witness, 9) == Vouched::good);
  CHECK(vouch(Header(7, 'x').read(), 7, witness, 7) == Vouched::forged);
  CHECK(vouch(Header(7, 's', 'x').read(), 7, witness, 7) == Vouched::forged);
  CHECK(vouch(Header(7).read(), 8, witness, 7) == Vouched::older);
  CHECK(vouch(Header(7).read(), 7, {}, 9) == Vouched::skipped);
  CHECK(vouch(Header(7).read(), 7, {}, 6) == Vouched::unknown);
}

}  // namespace troupe
