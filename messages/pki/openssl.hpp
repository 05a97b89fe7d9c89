#pragma once
// OpenSSL's objects with owners, and its errors as exceptions. Nothing here leaves an entry in
// OpenSSL's error queue, which would end the next TLS connection of the thread that finds it.
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <memory>
#include <string>

namespace troupe::pki {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, Free<BN_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, Free<X509_CRL_free>>;
using RevokedPtr = std::unique_ptr<X509_REVOKED, Free<X509_REVOKED_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, Free<ASN1_INTEGER_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, Free<ASN1_TIME_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;

/// Empties the error queue when it is left, by return or exception.
struct ErrorQueue {
  ErrorQueue() = default;
  ~ErrorQueue();
  ErrorQueue(const ErrorQueue&) = delete;
  ErrorQueue& operator=(const ErrorQueue&) = delete;
};

/// Errors: throws Error with what was tried and OpenSSL's reason.
void require(bool done, const char* what);
template <typename T>
T required(T object, const char* what) {
  require(object != nullptr, what);
  return object;
}

/// A new P-256 key.
KeyPtr make_key();

/// Errors: all throw Error naming the file if it is missing, holds something else, or is malformed;
/// a key that is encrypted is refused, nobody is asked for a passphrase.
X509Ptr read_x509(const std::filesystem::path& file);
KeyPtr read_key(const std::filesystem::path& file);
CrlPtr read_crl(const std::filesystem::path& file);

/// Written atomically: keys for their owner alone, the others for everybody.
void write_x509(const std::filesystem::path& file, const X509& certificate);
void write_key(const std::filesystem::path& file, const EVP_PKEY& key);
void write_crl(const std::filesystem::path& file, const X509_CRL& list);

}  // namespace troupe::pki
