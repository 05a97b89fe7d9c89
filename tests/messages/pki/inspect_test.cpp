#include "messages/pki/inspect.hpp"

#include "messages/pki/signer.hpp"
#include "tests/messages/pki/support.hpp"

#include <string>
#include <sys/stat.h>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {
namespace {
using std::chrono::days;
}  // namespace

TEST_CASE("a fresh certificate is usable and says for whom") {
  Cluster cluster;
  const Certificate certificate = require_usable(cluster.director(), kToday);
  CHECK(certificate.identity == Identity{Role::director, "director"});
}

TEST_CASE("a certificate out of its time is refused with its dates") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  CHECK(inspect(files, kToday + days(90)).state == State::expired);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday + days(90)); }),
                   "gen-0.pem: expired on 2027-02-26T12:00:00Z; renew it");
  *cluster.now += days(1);
  const LeafFiles later = cluster.generator("gen-1");
  CHECK(inspect(later, kToday).state == State::not_yet_valid);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(later, kToday); }), "set the clock");
}

TEST_CASE("a certificate of another authority is refused though the names are the same") {
  Cluster ours, theirs;
  LeafFiles files = theirs.generator();
  files.authority = ours.directory / "ca.pem";
  files.revoked = ours.directory / "crl.pem";
  CHECK(inspect(files, kToday).state == State::unusable);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "signed by another authority");
}

TEST_CASE("a certificate that only claims our authority is refused") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  const X509Ptr authority = read_x509(files.authority);
  const KeyPtr forger = make_key(), key = read_key(files.key);
  const X509Ptr forged = sign_leaf({*authority, *forger}, {Role::learner, "gen-0"}, {}, *key,
                                   new_serial(), {kToday, kToday + days(1)});
  write_x509(files.certificate, *forged);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "signed by another authority");
}

TEST_CASE("a leaf in place of the authority is refused") {
  Cluster cluster;
  LeafFiles files = cluster.generator();
  files.authority = files.certificate;
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "is no authority's");
}

TEST_CASE("an authority that has ended makes its leaves unusable") {
  TemporaryDirectory scratch;
  Authority brief =
      Authority::create(scratch.path() / "pki", {days(5), "b"}, [] { return kToday; });
  const LeafFiles files = brief.issue({Role::verifier, "v", {}, {}});
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday + days(6)); }),
                   "ca.pem, which expired on");
}

TEST_CASE("a revoked certificate is refused") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  cluster.authority.revoke("gen-0");
  CHECK(inspect(files, kToday).state == State::revoked);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "gen-0.pem: is revoked");
}

TEST_CASE("a revocation list of another authority is refused") {
  Cluster ours, theirs;
  LeafFiles files = ours.generator();
  files.revoked = theirs.directory / "crl.pem";
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "is not signed by");
}

TEST_CASE("the key of another certificate is refused") {
  Cluster cluster;
  LeafFiles files = cluster.generator("gen-0");
  files.key = cluster.generator("gen-1").key;
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday); }), "does not belong to the key");
}

TEST_CASE("a link needs all four files and a role") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  LeafFiles incomplete = files;
  incomplete.revoked.clear();
  TROUPE_CHECK_HAS(error_of([&] { require_usable(incomplete, kToday); }), "crl.pem");
  CHECK(require_usable(incomplete, kToday, Revocations::none).identity);
  TROUPE_CHECK_HAS(error_of([&] { require_usable(files, kToday, Revocations::none); }),
                   "crl.pem: is a revocation list");
  LeafFiles missing = files;
  missing.key = cluster.directory / "none.key";
  TROUPE_CHECK_HAS(error_of([&] { require_usable(missing, kToday); }), "none.key");
  LeafFiles own{files.authority, cluster.directory / "ca.key", files.authority, files.revoked};
  TROUPE_CHECK_HAS(error_of([&] { require_usable(own, kToday); }), "names no role");
}

TEST_CASE("a file is checked with what lies beside it and alone if nothing does") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  cluster.authority.revoke("gen-0");
  CHECK(inspect_file(files.certificate, kToday).state == State::revoked);
  const auto alone = cluster.scratch.path() / "alone.pem";
  std::filesystem::copy_file(files.certificate, alone);
  CHECK(inspect_file(alone, kToday).state == State::good);
  CHECK(inspect_file(cluster.directory / "ca.pem", kToday).certificate.authority);
}

TEST_CASE("keys and directories open to others are told with a remedy") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  CHECK(exposed_files(cluster.directory).empty());
  ::chmod(files.key.c_str(), 0644);
  ::chmod(cluster.directory.c_str(), 0777);
  const auto warnings = exposed_files(cluster.directory);
  REQUIRE(warnings.size() == 2);
  TROUPE_CHECK_HAS(warnings[0], "chmod 700");
  TROUPE_CHECK_HAS(warnings[1], "gen-0.key: others can read this key; chmod 600");
}

}  // namespace troupe::pki
