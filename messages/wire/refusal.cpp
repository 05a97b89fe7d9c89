#include "messages/wire/refusal.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <array>
#include <kj/string.h>
#include <utility>

namespace troupe::wire {

namespace {

constexpr std::array kWords{
    std::pair{Refusal::foreign_ca, "foreign_ca"},
    std::pair{Refusal::expired, "expired"},
    std::pair{Refusal::not_yet_valid, "not_yet_valid"},
    std::pair{Refusal::revoked, "revoked"},
    std::pair{Refusal::wrong_host, "wrong_host"},
    std::pair{Refusal::wrong_role, "wrong_role"},
    std::pair{Refusal::wrong_use, "wrong_use"},
    std::pair{Refusal::no_identity, "no_identity"},
    std::pair{Refusal::no_certificate, "no_certificate"},
    std::pair{Refusal::old_tls, "old_tls"},
    std::pair{Refusal::plain_text, "plain_text"},
    std::pair{Refusal::timeout, "timeout"},
    std::pair{Refusal::full, "full"},
    std::pair{Refusal::closed, "closed"},
    std::pair{Refusal::failed, "failed"},
};

constexpr const char* kMark = "link refused, ";

}  // namespace

const char* to_string(Refusal refusal) {
  for (const auto& [value, word] : kWords)
    if (value == refusal) return word;
  return "failed";
}

kj::Exception refusal_exception(Refusal refusal, const std::string& text) {
  return kj::Exception(kj::Exception::Type::FAILED, "troupe", 0,
                       kj::str(kMark, to_string(refusal), ": ", text.c_str()));
}

kj::Maybe<Refusal> refusal_of(const kj::Exception& exception) {
  if (exception.getType() == kj::Exception::Type::OVERLOADED) return Refusal::timeout;
  const std::string text = exception.getDescription().cStr();
  const auto mark = text.find(kMark);  // a session puts its own words before it
  if (mark == std::string::npos) return nullptr;
  const auto rest = text.substr(mark + std::string(kMark).size());
  const auto word = rest.substr(0, rest.find(':'));
  for (const auto& [value, name] : kWords)
    if (word == name) return value;
  return nullptr;
}

Refusal refusal_of_verification(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Refusal::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Refusal::not_yet_valid;
    case X509_V_ERR_CERT_REVOKED:
      return Refusal::revoked;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Refusal::wrong_host;
    case X509_V_ERR_INVALID_PURPOSE:
      return Refusal::wrong_use;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Refusal::foreign_ca;
    default:
      return Refusal::failed;
  }
}

Refusal refusal_of_library_error(unsigned long code, bool server) {
  switch (ERR_GET_REASON(code)) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      return server ? Refusal::wrong_host : Refusal::not_yet_valid;
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return Refusal::wrong_role;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return Refusal::no_identity;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return Refusal::foreign_ca;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return Refusal::expired;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      return Refusal::revoked;
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return Refusal::wrong_use;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return Refusal::no_certificate;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
      return Refusal::old_tls;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_RECORD_LENGTH_MISMATCH:
      return Refusal::plain_text;
    default:
      return Refusal::failed;
  }
}

}  // namespace troupe::wire
