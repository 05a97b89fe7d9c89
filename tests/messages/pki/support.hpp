#pragma once
// A fresh authority under a clock that stands still, and OpenSSL's own verdict on what it issued.
#include "messages/pki/authority.hpp"
#include "messages/pki/error.hpp"
#include "tests/support/temporary_directory.hpp"

#include <doctest/doctest.h>
#include <openssl/x509_vfy.h>

#include <memory>
#include <string>

namespace troupe::pki {

inline const Time kToday = *parse_time("2026-11-28T12:00:00Z");

struct Cluster {
  TemporaryDirectory scratch;
  std::shared_ptr<Time> now = std::make_shared<Time>(kToday);
  std::filesystem::path directory = scratch.path() / "pki";
  Authority authority = Authority::create(directory, {}, clock());

  Clock clock() const {
    return [time = now] { return *time; };
  }
  LeafFiles director() { return authority.issue({Role::director, "director", {"localhost"}, {}}); }
  LeafFiles generator(const std::string& name = "gen-0") {
    return authority.issue({Role::generator, name, {}, {}});
  }
};

/// The text of the Error that it throws; empty if none.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

#define TROUPE_CHECK_HAS(text, part)                     \
  do {                                                   \
    const std::string checked_text = text;               \
    INFO(checked_text);                                  \
    CHECK(checked_text.find(part) != std::string::npos); \
  } while (false)

/// X509_V_OK, or why X509_verify_cert refuses it: strict, with revocation, for one end of a link.
inline int verification(const LeafFiles& files, Time now, int purpose) {
  using StorePtr = std::unique_ptr<X509_STORE, Free<X509_STORE_free>>;
  using ContextPtr = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;
  const ErrorQueue queue;
  const X509Ptr leaf = read_x509(files.certificate), authority = read_x509(files.authority);
  const CrlPtr list = read_crl(files.revoked);
  const StorePtr store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), authority.get());
  X509_STORE_add_crl(store.get(), list.get());
  const ContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_time(context.get(), 0, now.time_since_epoch().count());
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

}  // namespace troupe::pki
