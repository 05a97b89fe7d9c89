#include "messages/pki/openssl.hpp"

#include "messages/pki/error.hpp"
#include "messages/pki/files.hpp"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <string_view>

namespace troupe::pki {
namespace {

int no_passphrase(char*, int, int, void*) {
  return -1;
}

/// Parses the first object of its kind in a PEM file.
template <typename Pointer, typename Read>
Pointer read_pem(const std::filesystem::path& file, std::size_t limit_bytes, Read read,
                 const std::string& expected) {
  const ErrorQueue queue;
  const std::string bytes = read_bounded(file, limit_bytes);
  const BioPtr bio(required(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())),
                            "reading from memory"));
  Pointer object(read(bio.get(), nullptr, no_passphrase, nullptr));
  if (!object) throw Error(file, "holds no readable " + expected);
  return object;
}

std::string_view contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

ErrorQueue::~ErrorQueue() {
  ERR_clear_error();
}

void require(bool done, const char* what) {
  if (done) return;
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  throw Error(std::string(what) + " failed: " + (reason ? reason : "OpenSSL gives no reason"));
}

KeyPtr make_key() {
  const ErrorQueue queue;
  return KeyPtr(required(EVP_EC_gen("P-256"), "making a key"));
}

X509Ptr read_x509(const std::filesystem::path& file) {
  return read_pem<X509Ptr>(file, kLongestPem, PEM_read_bio_X509,
                           "certificate; PEM (-----BEGIN CERTIFICATE-----) is expected");
}

KeyPtr read_key(const std::filesystem::path& file) {
  return read_pem<KeyPtr>(file, kLongestPem, PEM_read_bio_PrivateKey,
                          "private key; PEM without a passphrase (-----BEGIN PRIVATE KEY-----) is "
                          "expected");
}

CrlPtr read_crl(const std::filesystem::path& file) {
  return read_pem<CrlPtr>(file, kLongestList, PEM_read_bio_X509_CRL,
                          "revocation list; PEM (-----BEGIN X509 CRL-----) is expected");
}

void write_x509(const std::filesystem::path& file, const X509& certificate) {
  const ErrorQueue queue;
  const BioPtr bio(required(BIO_new(BIO_s_mem()), "writing to memory"));
  require(PEM_write_bio_X509(bio.get(), &certificate) == 1, "encoding a certificate");
  write_atomically(file, contents(bio.get()), kPublicFile);
}

void write_key(const std::filesystem::path& file, const EVP_PKEY& key) {
  const ErrorQueue queue;
  const BioPtr bio(required(BIO_new(BIO_s_secmem()), "writing to memory"));  // wiped when freed
  require(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "encoding a key");
  write_atomically(file, contents(bio.get()), kPrivateFile);
}

void write_crl(const std::filesystem::path& file, const X509_CRL& list) {
  const ErrorQueue queue;
  const BioPtr bio(required(BIO_new(BIO_s_mem()), "writing to memory"));
  require(PEM_write_bio_X509_CRL(bio.get(), &list) == 1, "encoding a revocation list");
  write_atomically(file, contents(bio.get()), kPublicFile);
}

}  // namespace troupe::pki
