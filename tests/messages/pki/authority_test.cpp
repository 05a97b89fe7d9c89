#include "messages/pki/authority.hpp"

#include "messages/pki/files.hpp"
#include "tests/messages/pki/support.hpp"

#include <atomic>
#include <set>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {
namespace {

using std::chrono::days;

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

Certificate read(const LeafFiles& files) {
  return describe(*read_x509(files.certificate));
}

}  // namespace

TEST_CASE("openssl accepts a role that has a gate at both ends and the others as clients only") {
  Cluster cluster;
  for (const Role role : kRoles) {
    const std::string name(role_name(role));
    std::vector<std::string> hosts;
    if (serves(role)) hosts = {"localhost"};
    const LeafFiles files = cluster.authority.issue({role, name, hosts, {}});
    CAPTURE(name);
    CHECK(verification(files, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
    CHECK(verification(files, kToday, X509_PURPOSE_SSL_SERVER) ==
          (has_gate(role) ? X509_V_OK : X509_V_ERR_INVALID_PURPOSE));
  }
}

TEST_CASE("a certificate names its role and its hosts") {
  Cluster cluster;
  const Certificate leaf = read(cluster.authority.issue(
      {Role::replay_buffer, "buffer", {"Buffer.example", "127.0.0.1", "::1", "127.0.0.1"}, {}}));
  CHECK(leaf.identity == Identity{Role::replay_buffer, "buffer"});
  CHECK(leaf.subject == "buffer");
  CHECK(leaf.hosts == std::vector<std::string>{"buffer.example", "127.0.0.1", "::1"});
  CHECK_FALSE(leaf.authority);
}

TEST_CASE("a leaf signs no certificate and the authority makes no further authority") {
  Cluster cluster;
  const X509Ptr leaf = read_x509(cluster.director().certificate);
  CHECK((X509_get_extension_flags(leaf.get()) & EXFLAG_CA) == 0);
  CHECK(X509_get_key_usage(leaf.get()) == KU_DIGITAL_SIGNATURE);
  const X509Ptr authority = read_x509(cluster.directory / "ca.pem");
  CHECK(X509_get_key_usage(authority.get()) == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  CHECK(X509_get_pathlen(authority.get()) == 0);
}

TEST_CASE("openssl finds exactly the hosts of a certificate in it") {
  Cluster cluster;
  const LeafFiles files = cluster.authority.issue(
      {Role::director, "director", {"one.example", "10.0.0.7", "fd00::7"}, {}});
  const X509Ptr leaf = read_x509(files.certificate);
  CHECK(X509_check_host(leaf.get(), "one.example", 0, 0, nullptr) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "10.0.0.7", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "fd00::7", 0) == 1);
  CHECK(X509_check_host(leaf.get(), "two.example", 0, 0, nullptr) == 0);
  CHECK(X509_check_host(leaf.get(), "director", 0, 0, nullptr) == 0);
  CHECK(X509_check_ip_asc(leaf.get(), "10.0.0.8", 0) == 0);
}

TEST_CASE("an authority lives ten years and a leaf ninety days and both from an hour ago") {
  Cluster cluster;
  const Certificate authority = describe(*read_x509(cluster.directory / "ca.pem"));
  CHECK(authority.authority);
  CHECK(authority.not_after == kToday + days(3650));
  CHECK(authority.not_before == kToday - std::chrono::hours(1));
  const Certificate leaf = read(cluster.director());
  CHECK(leaf.not_after == kToday + days(90));
  CHECK(leaf.not_before == kToday - std::chrono::hours(1));
  const Certificate brief = read(cluster.authority.issue({Role::verifier, "v", {}, days(2)}));
  CHECK(brief.not_after == kToday + days(2));
}

TEST_CASE("openssl refuses a leaf before and after its validity") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  CHECK(verification(files, kToday + days(89), X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  CHECK(verification(files, kToday + days(91), X509_PURPOSE_SSL_CLIENT) ==
        X509_V_ERR_CERT_HAS_EXPIRED);
  CHECK(verification(files, kToday - std::chrono::hours(2), X509_PURPOSE_SSL_CLIENT) != X509_V_OK);
}

TEST_CASE("the list of an authority is good as long as the authority") {
  Cluster cluster;
  const LeafFiles files = cluster.authority.issue({Role::verifier, "v", {}, days(3650)});
  CHECK(verification(files, kToday + days(3649), X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
}

TEST_CASE("openssl refuses a leaf of another authority") {
  Cluster ours, theirs;
  LeafFiles files = theirs.generator();
  files.authority = ours.directory / "ca.pem";
  files.revoked = ours.directory / "crl.pem";
  CHECK(verification(files, kToday, X509_PURPOSE_SSL_CLIENT) ==
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
}

TEST_CASE("keys and the directory are for their owner and certificates for everybody") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  CHECK(mode_of(cluster.directory) == 0700);
  CHECK(mode_of(cluster.directory / "ca.key") == 0600);
  CHECK(mode_of(files.key) == 0600);
  CHECK(mode_of(files.certificate) == 0644);
  CHECK(mode_of(files.authority) == 0644);
  CHECK(mode_of(files.revoked) == 0644);
}

TEST_CASE("a directory with a slash behind it is as private and its parents are made") {
  TemporaryDirectory scratch;
  Authority::create(scratch.path() / "new" / "pki/");
  CHECK(mode_of(scratch.path() / "new" / "pki") == 0700);
}

TEST_CASE("nothing but the files of the authority is left in its directory") {
  Cluster cluster;
  cluster.generator();
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(cluster.directory))
    names.insert(entry.path().filename());
  CHECK(names == std::set<std::string>{".lock", "ca.key", "ca.pem", "crl.pem", "gen-0.key",
                                       "gen-0.pem", "index.json"});
}

TEST_CASE("a second authority is not made over the first") {
  Cluster cluster;
  const std::string key = read_file(cluster.directory / "ca.key");
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(cluster.directory); }), "stays as it is");
  CHECK(read_file(cluster.directory / "ca.key") == key);
}

TEST_CASE("a name is issued once and its key stays") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  const std::string key = read_file(files.key);
  const std::string error = error_of([&] { cluster.generator(); });
  TROUPE_CHECK_HAS(error, "gen-0.pem: gen-0 was issued, until 2027-02-26T12:00:00Z");
  TROUPE_CHECK_HAS(error, "troupe pki renew");
  CHECK(read_file(files.key) == key);
  CHECK(cluster.authority.names().size() == 1);
}

TEST_CASE("a key from elsewhere is not overwritten") {
  Cluster cluster;
  write_file(cluster.directory / "gen-0.key", "mine");
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator(); }), "move it away");
  CHECK(read_file(cluster.directory / "gen-0.key") == "mine");
  CHECK(cluster.authority.names().empty());
}

TEST_CASE("renewing keeps the identity and the hosts and changes serial and key") {
  Cluster cluster;
  const LeafFiles files =
      cluster.authority.issue({Role::learner, "learner", {"a", "::1"}, days(30)});
  const Certificate before = read(files);
  const std::string key = read_file(files.key);
  *cluster.now += days(20);
  const Certificate after = read(cluster.authority.renew("learner"));
  CHECK(after.identity == before.identity);
  CHECK(after.hosts == before.hosts);
  CHECK(after.serial != before.serial);
  CHECK(after.not_after == kToday + days(50));
  CHECK(read_file(files.key) != key);
  CHECK(mode_of(files.key) == 0600);
  CHECK(verification(files, *cluster.now, X509_PURPOSE_SSL_SERVER) == X509_V_OK);
  CHECK(inspect_file(files.certificate, *cluster.now).state == State::good);
}

TEST_CASE("a renewed certificate ends with its authority at the latest") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  *cluster.now += days(3600);
  cluster.authority.renew("gen-0");
  CHECK(read(files).not_after == kToday + days(3650));
}

TEST_CASE("a lifetime beyond that of the authority is refused and the default is shortened") {
  TemporaryDirectory scratch;
  Authority brief = Authority::create(scratch.path() / "pki", {days(7), "brief"});
  TROUPE_CHECK_HAS(error_of([&] {
                     brief.issue({Role::verifier, "v", {}, days(8)});
                   }),
                   "give fewer days");
  const LeafFiles files = brief.issue({Role::verifier, "v", {}, {}});
  CHECK(read(files).not_after == describe(*read_x509(files.authority)).not_after);
}

TEST_CASE("due are the names that end within the given days and not the revoked") {
  Cluster cluster;
  cluster.authority.issue({Role::verifier, "soon", {}, days(10)});
  cluster.authority.issue({Role::verifier, "late", {}, days(40)});
  cluster.authority.issue({Role::verifier, "gone", {}, days(10)});
  cluster.authority.revoke("gone");
  CHECK(cluster.authority.due(days(9)).empty());
  CHECK(cluster.authority.due(days(10)) == std::vector<std::string>{"soon"});
  CHECK(cluster.authority.due(days(40)) == std::vector<std::string>{"soon", "late"});
  *cluster.now += days(50);
  CHECK(cluster.authority.due(days(0)) == std::vector<std::string>{"soon", "late"});
}

TEST_CASE("openssl refuses a revoked certificate and goes on accepting the others") {
  Cluster cluster;
  const LeafFiles revoked = cluster.generator("gen-0"), other = cluster.generator("gen-1");
  CHECK(cluster.authority.revoke("gen-0") == 1);
  CHECK(verification(revoked, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_ERR_CERT_REVOKED);
  CHECK(verification(other, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
}

TEST_CASE("revoking a name revokes every certificate it ever had") {
  Cluster cluster;
  LeafFiles old = cluster.generator();
  const std::filesystem::path kept = cluster.scratch.path() / "old.pem";
  std::filesystem::copy_file(old.certificate, kept);
  cluster.authority.renew("gen-0");
  CHECK(cluster.authority.revoke("gen-0") == 2);
  CHECK(verification(old, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_ERR_CERT_REVOKED);
  old.certificate = kept;
  CHECK(verification(old, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_ERR_CERT_REVOKED);
  CHECK(cluster.authority.revoke("gen-0") == 0);
}

TEST_CASE("a revoked name is not renewed but may be issued again") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  cluster.authority.revoke("gen-0");
  TROUPE_CHECK_HAS(error_of([&] { cluster.authority.renew("gen-0"); }), "issue it again");
  cluster.generator();
  CHECK(verification(files, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
}

TEST_CASE("the numbers of revocation lists grow") {
  Cluster cluster;
  const auto number = [&] {
    const CrlPtr list = read_crl(cluster.directory / "crl.pem");
    const IntegerPtr value(static_cast<ASN1_INTEGER*>(
        X509_CRL_get_ext_d2i(list.get(), NID_crl_number, nullptr, nullptr)));
    REQUIRE(value);
    return ASN1_INTEGER_get(value.get());
  };
  CHECK(number() == 1);
  cluster.generator();
  CHECK(number() == 2);
  cluster.authority.revoke("gen-0");
  CHECK(number() == 3);
}

TEST_CASE("a revocation list that was lost is there again after the next change") {
  Cluster cluster;
  cluster.generator("gen-0");
  cluster.authority.revoke("gen-0");
  std::filesystem::remove(cluster.directory / "crl.pem");
  cluster.generator("gen-1");
  CHECK(verification(cluster.authority.files_of("gen-0"), kToday, X509_PURPOSE_SSL_CLIENT) ==
        X509_V_ERR_CERT_REVOKED);
}

TEST_CASE("names that nobody was issued are refused") {
  Cluster cluster;
  TROUPE_CHECK_HAS(error_of([&] { cluster.authority.renew("gen-7"); }), "gen-7");
  TROUPE_CHECK_HAS(error_of([&] { cluster.authority.revoke("gen-7"); }), "gen-7");
}

TEST_CASE("bad requests are refused and leave nothing") {
  Cluster cluster;
  const auto refusal = [&](const LeafRequest& request) {
    return error_of([&] { cluster.authority.issue(request); });
  };
  TROUPE_CHECK_HAS(refusal({Role::generator, "Gen", {}, {}}), "a name has 1 to 63");
  TROUPE_CHECK_HAS(refusal({Role::generator, "../gen", {}, {}}), "a name has 1 to 63");
  TROUPE_CHECK_HAS(refusal({Role::generator, "ca", {}, {}}), "choose another");
  TROUPE_CHECK_HAS(refusal({Role::generator, "crl", {}, {}}), "choose another");
  TROUPE_CHECK_HAS(refusal({Role::director, "d", {}, {}}), "--host");
  TROUPE_CHECK_HAS(refusal({Role::director, "d", {"*.example"}, {}}), "wildcard");
  TROUPE_CHECK_HAS(refusal({Role::generator, "g", {}, days(0)}), "lifetime of 0 days");
  TROUPE_CHECK_HAS(refusal({Role::director, "d-*", {"a"}, {}}), "dialled by name");
  TROUPE_CHECK_HAS(refusal({Role::generator, "g-*", {"a"}, {}}), "bound to no host");
  CHECK(cluster.authority.names().empty());
  CHECK_FALSE(std::filesystem::exists(cluster.directory / "ca.crl"));
}

TEST_CASE("a pool has a certificate of its own and keeps names and pools within it free") {
  Cluster cluster;
  const LeafFiles pool = cluster.generator("gen-*");
  CHECK(pool.certificate.filename() == "gen-_any.pem");
  CHECK(read(pool).identity == Identity{Role::generator, "gen-*"});
  CHECK(verification(pool, kToday, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator("gen-0"); }), "gen-*");
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator("gen-a-*"); }), "gen-*");
  cluster.generator("other-0");
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator("other-*"); }), "other-0");
  cluster.authority.revoke("gen-*");
  cluster.generator("gen-0");
}

TEST_CASE("an authority that has ended issues nothing") {
  Cluster cluster;
  *cluster.now += days(3651);
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator(); }), "ca.pem: expired on 2036-11-25");
}

TEST_CASE("a directory without an authority says how to make one") {
  TemporaryDirectory scratch;
  TROUPE_CHECK_HAS(error_of([&] { Authority::open(scratch.path() / "none"); }),
                   "none: does not exist; make one with troupe pki init");
  TROUPE_CHECK_HAS(error_of([&] { Authority::open(scratch.path()); }), "holds no authority");
}

TEST_CASE("an authority that lost its key still shows and says what is missing") {
  Cluster cluster;
  cluster.generator();
  std::filesystem::remove(cluster.directory / "ca.key");
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator("gen-1"); }), "ca.key: is missing");
  CHECK(cluster.authority.inspect_all().size() == 2);
}

TEST_CASE("the key of another authority is refused") {
  Cluster cluster, other;
  std::filesystem::copy_file(other.directory / "ca.key", cluster.directory / "ca.key",
                             std::filesystem::copy_options::overwrite_existing);
  TROUPE_CHECK_HAS(error_of([&] { cluster.generator(); }), "ca.key: is not the key of");
}

TEST_CASE("names of an authority and lifetimes out of range are refused before anything is made") {
  TemporaryDirectory scratch;
  const auto directory = scratch.path() / "pki";
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(directory, {days(0), "a"}); }), "0 days");
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(directory, {days(40000), "a"}); }), "40000");
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(directory, {days(1), ""}); }), "1 to 64");
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(directory, {days(1), "a\n"}); }), "printable");
  CHECK_FALSE(std::filesystem::exists(directory));
}

TEST_CASE("a directory below a file cannot be made") {
  TemporaryDirectory scratch;
  write_file(scratch.path() / "file", "");
  TROUPE_CHECK_HAS(error_of([&] { Authority::create(scratch.path() / "file" / "pki"); }),
                   "cannot be made");
}

TEST_CASE("a leaf that is missing or was cut off is shown with a remedy") {
  Cluster cluster;
  cluster.generator("gen-0");
  const LeafFiles files = cluster.generator("gen-1");
  std::filesystem::remove(files.certificate);
  auto all = cluster.authority.inspect_all();
  REQUIRE(all.size() == 3);
  CHECK(all[1].state == State::good);
  CHECK(all[2].state == State::unusable);
  CHECK(all[2].certificate.identity == Identity{Role::generator, "gen-1"});
  TROUPE_CHECK_HAS(all[2].problem, "troupe pki renew");
  cluster.authority.renew("gen-1");
  const std::string newest = read_file(files.certificate);
  cluster.authority.renew("gen-1");
  write_file(files.certificate, newest);
  all = cluster.authority.inspect_all();
  CHECK(all[2].state == State::unusable);
  TROUPE_CHECK_HAS(all[2].problem, "gen-1.pem");
}

TEST_CASE("threads that issue at once get different serials and all are recorded") {
  Cluster cluster;
  constexpr int kThreads = 8, kEach = 4;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      Authority authority = Authority::open(cluster.directory, cluster.clock());
      for (int i = 0; i < kEach; ++i)
        authority.issue(
            {Role::generator, "gen-" + std::to_string(t) + "-" + std::to_string(i), {}, {}});
    });
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> serials;
  for (const Inspection& leaf : cluster.authority.inspect_all()) {
    CHECK(leaf.state == State::good);
    serials.insert(leaf.certificate.serial);
  }
  CHECK(serials.size() == kThreads * kEach + 1);
}

TEST_CASE("of many that issue one name at once a single one succeeds") {
  Cluster cluster;
  std::atomic<int> issued = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      Authority authority = Authority::open(cluster.directory, cluster.clock());
      if (error_of([&] { authority.issue({Role::generator, "gen-0", {}, {}}); }).empty()) ++issued;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(issued == 1);
  CHECK(cluster.authority.inspect_all().at(1).state == State::good);
}

}  // namespace troupe::pki
