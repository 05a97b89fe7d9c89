#include "messages/pki/certificate.hpp"

#include "messages/pki/signer.hpp"
#include "tests/messages/pki/support.hpp"

#include <set>
#include <string>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {
namespace {

using std::chrono::days;

/// A certificate with these alternative names, in the notation of OpenSSL's configuration.
Certificate with_names(const std::string& names) {
  const KeyPtr key = make_key();
  const X509Ptr certificate =
      make_authority_certificate("test", *key, new_serial(), {kToday, kToday + days(1)});
  // Made a leaf: without the constraint that says otherwise.
  const int place = X509_get_ext_by_NID(certificate.get(), NID_basic_constraints, -1);
  const ExtensionPtr removed(X509_delete_ext(certificate.get(), place));
  const int usage = X509_get_ext_by_NID(certificate.get(), NID_key_usage, -1);
  const ExtensionPtr usage_removed(X509_delete_ext(certificate.get(), usage));
  const ExtensionPtr extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
  REQUIRE(extension);
  X509_add_ext(certificate.get(), extension.get(), -1);
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const X509Ptr copy(X509_dup(certificate.get()));  // nothing cached from before
  return describe(*copy);
}

}  // namespace

TEST_CASE("an identity needs exactly one uri and a valid one") {
  CHECK(with_names("URI:troupe://generator/a").identity == Identity{Role::generator, "a"});
  CHECK(with_names("DNS:b,URI:troupe://generator/a,IP:::1").hosts ==
        std::vector<std::string>{"b", "::1"});
  CHECK_FALSE(with_names("URI:troupe://generator/a,URI:troupe://generator/a").identity);
  CHECK_FALSE(with_names("URI:troupe://generator/a,URI:https://x").identity);
  CHECK_FALSE(with_names("URI:https://x,URI:troupe://generator/a").identity);
  CHECK_FALSE(with_names("URI:troupe://emperor/a").identity);
  CHECK_FALSE(with_names("DNS:a").identity);
}

TEST_CASE("a text in a certificate cannot move a terminal's cursor") {
  CHECK(with_names("DNS:a\x1b[2Jb").hosts == std::vector<std::string>{"a?[2Jb"});
}

TEST_CASE("an authority has no identity whatever it names") {
  const KeyPtr key = make_key();
  const X509Ptr authority =
      make_authority_certificate("test", *key, new_serial(), {kToday, kToday + days(1)});
  CHECK(describe(*authority).authority);
  CHECK(describe(*authority).subject == "test");
  CHECK_FALSE(describe(*authority).identity);
}

TEST_CASE("serials are random and positive and of one length") {
  std::set<std::string> serials;
  for (int i = 0; i < 100; ++i) {
    const std::string serial = new_serial();
    CHECK(serial.size() == 32);
    CHECK(serial.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(serial[0] < '8');
    serials.insert(serial);
  }
  CHECK(serials.size() == 100);
}

TEST_CASE("the serial and fingerprint of a certificate are those that openssl shows") {
  Cluster cluster;
  const X509Ptr leaf = read_x509(cluster.generator().certificate);
  const Certificate certificate = describe(*leaf);
  BIGNUM* number = nullptr;
  BN_hex2bn(&number, certificate.serial.c_str());
  const BignumPtr serial(number);
  const IntegerPtr expected(BN_to_ASN1_INTEGER(serial.get(), nullptr));
  CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf.get()), expected.get()) == 0);
  CHECK(certificate.fingerprint.size() == 64);
}

TEST_CASE("times are written and read in one form and days are rounded down") {
  CHECK(format_time(kToday) == "2026-11-28T12:00:00Z");
  CHECK(parse_time("2070-01-02T03:04:05Z").has_value());
  CHECK_FALSE(parse_time("2026-11-28"));
  CHECK_FALSE(parse_time("2026-11-28T12:00:00Zx"));
  CHECK_FALSE(parse_time("2026-13-28T12:00:00Z"));
  CHECK(days_left(kToday + days(3), kToday) == 3);
  CHECK(days_left(kToday + days(3) - std::chrono::seconds(1), kToday) == 2);
  CHECK(days_left(kToday - std::chrono::seconds(1), kToday) == -1);
}

TEST_CASE("validity beyond 2049 is written and read") {
  TemporaryDirectory scratch;
  Authority::create(scratch.path() / "pki", {days(36500), "old"}, [] { return kToday; });
  CHECK(describe(*read_x509(scratch.path() / "pki" / "ca.pem")).not_after == kToday + days(36500));
}

}  // namespace troupe::pki
