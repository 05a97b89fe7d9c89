#include "messages/pki/signer.hpp"

#include "messages/pki/hosts.hpp"

#include <algorithm>

namespace troupe::pki {
namespace {

constexpr int kSerialBits = 127;  // positive in the 16 bytes that ASN.1 gives it

void free_text(char* text) {
  OPENSSL_free(text);
}

IntegerPtr integer(const std::string& serial) {
  BIGNUM* parsed = nullptr;
  const int digits = BN_hex2bn(&parsed, serial.c_str());
  const BignumPtr number(parsed);
  require(digits == static_cast<int>(serial.size()) && digits > 0, "reading a serial number");
  return IntegerPtr(required(BN_to_ASN1_INTEGER(number.get(), nullptr), "making a serial number"));
}

TimePtr asn1_time(Time time) {
  return TimePtr(
      required(ASN1_TIME_set(nullptr, time.time_since_epoch().count()), "making a time"));
}

X509Ptr unsigned_certificate(const std::string& name, EVP_PKEY& key, const std::string& serial,
                             const Validity& validity) {
  X509Ptr certificate(required(X509_new(), "making a certificate"));
  require(X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
              X509_set_serialNumber(certificate.get(), integer(serial).get()) == 1 &&
              X509_set1_notBefore(certificate.get(), asn1_time(validity.not_before).get()) == 1 &&
              X509_set1_notAfter(certificate.get(), asn1_time(validity.not_after).get()) == 1 &&
              X509_set_pubkey(certificate.get(), &key) == 1,
          "filling in a certificate");
  require(
      X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                 MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) == 1,
      "naming a certificate");
  return certificate;
}

ExtensionPtr extension(const X509& issuer, X509* subject, X509_CRL* list, int nid,
                       const char* value) {
  X509V3_CTX context = {};
  X509V3_set_ctx(&context, const_cast<X509*>(&issuer), subject, nullptr, list, 0);
  return ExtensionPtr(
      required(X509V3_EXT_conf_nid(nullptr, &context, nid, value), "making an extension"));
}

void extend(X509& certificate, const X509& issuer, int nid, const char* value) {
  const ExtensionPtr made = extension(issuer, &certificate, nullptr, nid, value);
  require(X509_add_ext(&certificate, made.get(), -1) == 1, "adding an extension");
}

void sign(X509& certificate, EVP_PKEY& key) {
  require(X509_sign(&certificate, &key, EVP_sha256()) > 0, "signing a certificate");
}

void add_name(GENERAL_NAMES& names, int kind, ASN1_STRING* value) {
  GENERAL_NAME* name = required(GENERAL_NAME_new(), "making a name");
  GENERAL_NAME_set0_value(name, kind, value);
  if (sk_GENERAL_NAME_push(&names, name) > 0) return;
  GENERAL_NAME_free(name);
  require(false, "adding a name");
}

void add_text_name(GENERAL_NAMES& names, int kind, const std::string& text) {
  ASN1_STRING* value = required(ASN1_IA5STRING_new(), "making a name");
  const bool set = ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1;
  if (!set) ASN1_STRING_free(value);
  require(set, "making a name");
  add_name(names, kind, value);
}

void add_names(X509& certificate, const Identity& identity, const std::vector<std::string>& hosts) {
  const NamesPtr names(required(GENERAL_NAMES_new(), "making names"));
  add_text_name(*names, GEN_URI, uri(identity));
  for (const std::string& host : hosts) {
    if (is_ip_address(host))
      add_name(*names, GEN_IPADD, required(a2i_IPADDRESS(host.c_str()), "reading an address"));
    else
      add_text_name(*names, GEN_DNS, host);
  }
  require(X509_add1_ext_i2d(&certificate, NID_subject_alt_name, names.get(), 0,
                            X509V3_ADD_DEFAULT) == 1,
          "adding names");
}

void add_revocation(X509_CRL& list, const Revocation& revocation) {
  RevokedPtr entry(required(X509_REVOKED_new(), "making a revocation"));
  require(X509_REVOKED_set_serialNumber(entry.get(), integer(revocation.serial).get()) == 1 &&
              X509_REVOKED_set_revocationDate(entry.get(), asn1_time(revocation.when).get()) == 1 &&
              X509_CRL_add0_revoked(&list, entry.get()) == 1,
          "adding a revocation");
  (void)entry.release();  // the list's
}

void extend_list(X509_CRL& list, const X509& issuer, std::uint64_t number) {
  const ExtensionPtr key = extension(issuer, nullptr, &list, NID_authority_key_identifier, "keyid");
  require(X509_CRL_add_ext(&list, key.get(), -1) == 1, "adding an extension");
  const IntegerPtr value(required(ASN1_INTEGER_new(), "numbering a list"));
  require(ASN1_INTEGER_set_uint64(value.get(), number) == 1 &&
              X509_CRL_add1_ext_i2d(&list, NID_crl_number, value.get(), 0, 0) == 1,
          "numbering a list");
}

}  // namespace

std::string new_serial() {
  const ErrorQueue queue;
  const BignumPtr number(required(BN_new(), "making a serial number"));
  require(BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1,
          "making a serial number");
  const std::unique_ptr<char, Free<free_text>> text(
      required(BN_bn2hex(number.get()), "writing a serial number"));
  std::string serial(text.get());
  std::transform(serial.begin(), serial.end(), serial.begin(), [](char c) {
    return static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
  });
  return serial;
}

X509Ptr make_authority_certificate(const std::string& name, EVP_PKEY& key,
                                   const std::string& serial, const Validity& validity) {
  const ErrorQueue queue;
  X509Ptr certificate = unsigned_certificate(name, key, serial, validity);
  require(X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) == 1,
          "naming the issuer");
  extend(*certificate, *certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  extend(*certificate, *certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(*certificate, *certificate, NID_subject_key_identifier, "hash");
  sign(*certificate, key);
  return certificate;
}

X509Ptr sign_leaf(const Issuer& issuer, const Identity& identity,
                  const std::vector<std::string>& hosts, EVP_PKEY& key, const std::string& serial,
                  const Validity& validity) {
  const ErrorQueue queue;
  X509Ptr certificate = unsigned_certificate(identity.name, key, serial, validity);
  require(X509_set_issuer_name(certificate.get(), X509_get_subject_name(&issuer.certificate)) == 1,
          "naming the issuer");
  extend(*certificate, issuer.certificate, NID_basic_constraints, "critical,CA:FALSE");
  extend(*certificate, issuer.certificate, NID_key_usage, "critical,digitalSignature");
  extend(*certificate, issuer.certificate, NID_ext_key_usage,
         has_gate(identity.role) ? "serverAuth,clientAuth" : "clientAuth");
  extend(*certificate, issuer.certificate, NID_subject_key_identifier, "hash");
  extend(*certificate, issuer.certificate, NID_authority_key_identifier, "keyid:always");
  add_names(*certificate, identity, hosts);
  sign(*certificate, issuer.key);
  return certificate;
}

CrlPtr sign_revocation_list(const Issuer& issuer, std::uint64_t number,
                            const std::vector<Revocation>& revoked, Time now) {
  const ErrorQueue queue;
  CrlPtr list(required(X509_CRL_new(), "making a revocation list"));
  require(
      X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1 &&
          X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(&issuer.certificate)) == 1 &&
          X509_CRL_set1_lastUpdate(list.get(), asn1_time(now).get()) == 1 &&
          X509_CRL_set1_nextUpdate(list.get(), X509_get0_notAfter(&issuer.certificate)) == 1,
      "filling in a revocation list");
  for (const Revocation& revocation : revoked) add_revocation(*list, revocation);
  extend_list(*list, issuer.certificate, number);
  require(
      X509_CRL_sort(list.get()) == 1 && X509_CRL_sign(list.get(), &issuer.key, EVP_sha256()) > 0,
      "signing a revocation list");
  return list;
}

}  // namespace troupe::pki
