#include "messages/pki/openssl.hpp"

#include "tests/messages/pki/support.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <string>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {

TEST_CASE("files that hold something else are refused by name and leave no error behind") {
  Cluster cluster;
  const LeafFiles files = cluster.generator();
  const auto bad = cluster.scratch.path() / "bad.pem";
  const std::string whole = read_file(files.certificate);
  for (const std::string& text :
       {std::string(), std::string("no pem"), whole.substr(0, whole.size() / 2),
        std::string("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        read_file(files.key)}) {
    write_file(bad, text);
    TROUPE_CHECK_HAS(error_of([&] { read_x509(bad); }), "bad.pem: holds no readable certificate");
  }
  TROUPE_CHECK_HAS(error_of([&] { read_key(files.certificate); }),
                   "gen-0.pem: holds no readable private key");
  TROUPE_CHECK_HAS(error_of([&] { read_crl(files.certificate); }),
                   "gen-0.pem: holds no readable revocation list");
  TROUPE_CHECK_HAS(error_of([&] { read_x509(cluster.directory / "no.pem"); }), "no.pem");
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("work that succeeds leaves no error behind either") {
  Cluster cluster;
  const LeafFiles files = cluster.director();
  cluster.authority.renew("director");
  cluster.authority.revoke("director");
  inspect(files, kToday);
  cluster.authority.inspect_all();
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("an encrypted key is refused and nobody is asked for a passphrase") {
  TemporaryDirectory scratch;
  const auto file = scratch.path() / "locked.key";
  const KeyPtr key = make_key();
  const BioPtr bio(BIO_new_file(file.c_str(), "w"));
  char passphrase[] = "secret";
  REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_256_cbc(), passphrase, 6,
                                        nullptr, nullptr) == 1);
  REQUIRE(BIO_flush(bio.get()) == 1);
  TROUPE_CHECK_HAS(error_of([&] { read_key(file); }), "without a passphrase");
}

TEST_CASE("a failure carries the reason of openssl") {
  const ErrorQueue queue;
  BIO_free(BIO_new_file("/nonexistent/file", "r"));
  TROUPE_CHECK_HAS(error_of([] { require(false, "opening"); }), "opening failed: no such file");
}

}  // namespace troupe::pki
