#pragma once
// An authority and its certificates, made in a temporary directory by OpenSSL calls.
#include "messages/wire/tls.hpp"
#include "tests/support/temporary_directory.hpp"

#include <openssl/asn1.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace troupe::support {

/// What to put into a certificate; the defaults make a good one.
struct CertificateWish {
  std::string uri = "troupe://generator/gen-0";  ///< Empty: none. Two, with a space between: both.
  std::string hosts = "DNS:localhost,IP:127.0.0.1";
  std::string use = "clientAuth,serverAuth";  ///< Empty: none.
  long begins_seconds = -3600;                ///< From this moment.
  long ends_seconds = 3600;
};

/// One authority. Files: <name>-ca.pem, <name>-<n>.pem, <name>-<n>.key, <name>.crl.
class TestPki {
 public:
  explicit TestPki(std::string name = "run") : name_(std::move(name)), key_(new_key()) {
    ca_ = new_certificate(key_.get(), "CN=" + name_, -7200, 7200);
    add(ca_.get(), NID_basic_constraints, "critical,CA:TRUE");
    add(ca_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    sign(ca_.get());
    save(path(name_ + "-ca.pem"), [&](std::FILE* out) { PEM_write_X509(out, ca_.get()); });
    revoke({});
  }

  wire::TlsFiles issue(const CertificateWish& wish = {}) {
    const auto stem = name_ + "-" + std::to_string(++issued_);
    const auto key = new_key();
    const auto made = new_certificate(key.get(), stem, wish.begins_seconds, wish.ends_seconds);
    std::string names = wish.hosts;
    for (std::size_t at = 0; at < wish.uri.size();) {
      const auto end = std::min(wish.uri.find(' ', at), wish.uri.size());
      names += (names.empty() ? "URI:" : ",URI:") + wish.uri.substr(at, end - at);
      at = end + 1;
    }
    if (!names.empty()) add(made.get(), NID_subject_alt_name, names);
    if (!wish.use.empty()) add(made.get(), NID_ext_key_usage, wish.use);
    sign(made.get());
    save(path(stem + ".pem"), [&](std::FILE* out) { PEM_write_X509(out, made.get()); });
    save(path(stem + ".key"), [&](std::FILE* out) {
      PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    serials_.emplace_back(path(stem + ".pem"), issued_ + 1);
    return {path(name_ + "-ca.pem"), path(stem + ".pem"), path(stem + ".key"),
            path(name_ + ".crl")};
  }

  /// Names these certificates in the list of revocations, which lasts `seconds` from now.
  void revoke(const std::vector<wire::TlsFiles>& files, long seconds = 3600) {
    const std::unique_ptr<X509_CRL, void (*)(X509_CRL*)> list(X509_CRL_new(), X509_CRL_free);
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(ca_.get()));
    const std::unique_ptr<ASN1_TIME, void (*)(ASN1_TIME*)> past(X509_gmtime_adj(nullptr, -60),
                                                                ASN1_TIME_free);
    const std::unique_ptr<ASN1_TIME, void (*)(ASN1_TIME*)> next(X509_gmtime_adj(nullptr, seconds),
                                                                ASN1_TIME_free);
    X509_CRL_set1_lastUpdate(list.get(), past.get());
    X509_CRL_set1_nextUpdate(list.get(), next.get());
    for (const auto& [certificate, serial] : serials_)
      for (const auto& file : files)
        if (file.certificate == certificate) {
          auto* entry = X509_REVOKED_new();
          const std::unique_ptr<ASN1_INTEGER, void (*)(ASN1_INTEGER*)> number(ASN1_INTEGER_new(),
                                                                              ASN1_INTEGER_free);
          ASN1_INTEGER_set(number.get(), serial);
          X509_REVOKED_set_serialNumber(entry, number.get());
          X509_REVOKED_set_revocationDate(entry, past.get());
          X509_CRL_add0_revoked(list.get(), entry);
        }
    X509_CRL_sort(list.get());
    X509_CRL_sign(list.get(), key_.get(), EVP_sha256());
    save(path(name_ + ".crl"), [&](std::FILE* out) { PEM_write_X509_CRL(out, list.get()); });
  }

  std::string path(const std::string& file) const { return directory_.path() / file; }

 private:
  using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
  using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

  static Key new_key() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

  Certificate new_certificate(EVP_PKEY* key, const std::string& subject, long begins, long ends) {
    Certificate made(X509_new(), X509_free);
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), issued_ + 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), begins);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), ends);
    X509_set_pubkey(made.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
    auto* issuer = ca_ ? ca_.get() : made.get();
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
    return made;
  }

  void add(X509* certificate, int what, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, ca_ ? ca_.get() : certificate, certificate, nullptr, nullptr, 0);
    auto* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
    if (extension == nullptr) throw std::runtime_error("bad extension " + value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }

  void sign(X509* certificate) { X509_sign(certificate, key_.get(), EVP_sha256()); }

  template <class Write>
  static void save(const std::string& file, Write&& write) {
    auto* out = std::fopen(file.c_str(), "w");
    write(out);
    std::fclose(out);
  }

  TemporaryDirectory directory_;
  std::string name_;
  Key key_;
  Certificate ca_{nullptr, X509_free};
  long issued_ = 0;
  std::vector<std::pair<std::string, long>> serials_;
};

}  // namespace troupe::support
