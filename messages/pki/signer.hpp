#pragma once
// Makes and signs certificates and revocation lists; knows no file. ECDSA over P-256 with SHA-256.
#include "messages/pki/certificate.hpp"
#include "messages/pki/identity.hpp"
#include "messages/pki/openssl.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::pki {

/// Lent for a call. The certificate is that of the key.
struct Issuer {
  const X509& certificate;
  EVP_PKEY& key;
};

struct Validity {
  Time not_before, not_after;
};

struct Revocation {
  std::string serial;
  Time when;
};

/// 126 random bits, hexadecimal as in Certificate.
std::string new_serial();

/// Signs itself; may sign leaves and revocation lists, but no further authority.
X509Ptr make_authority_certificate(const std::string& name, EVP_PKEY& key,
                                   const std::string& serial, const Validity& validity);

/// The URI of the identity and the hosts as alternative names, the name as common name. Extended
/// key usage: client, and server too if the role serves. `key` is the leaf's own.
X509Ptr sign_leaf(const Issuer& issuer, const Identity& identity,
                  const std::vector<std::string>& hosts, EVP_PKEY& key, const std::string& serial,
                  const Validity& validity);

/// `number` grows with every list of an issuer. Good until the issuer ends: OpenSSL refuses every
/// peer once a list is out of date, so a date that nobody renews in time would stop a run.
CrlPtr sign_revocation_list(const Issuer& issuer, std::uint64_t number,
                            const std::vector<Revocation>& revoked, Time now);

}  // namespace troupe::pki
