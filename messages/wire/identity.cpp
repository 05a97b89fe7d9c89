#include "messages/wire/identity.hpp"

#include "messages/pki/identity.hpp"

#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <memory>

namespace troupe::wire {

namespace {

std::string bytes_of(const ASN1_STRING* value) {
  const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(value));
  return {bytes, static_cast<std::size_t>(ASN1_STRING_length(value))};
}

std::string ip_text(const std::string& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (bytes.size() != 4 && bytes.size() != 16) return "?";
  ::inet_ntop(family, bytes.data(), text.data(), text.size());
  return text.data();
}

}  // namespace

bool is_role(const std::string& role) {
  return pki::parse_role(role).has_value();
}

std::string read_identity(const X509& certificate, PeerIdentity& identity) {
  identity = {};
  std::vector<std::string> uris;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) identity.hosts.push_back(bytes_of(name->d.dNSName));
    if (name->type == GEN_IPADD) identity.hosts.push_back(ip_text(bytes_of(name->d.iPAddress)));
    if (name->type != GEN_URI) continue;
    auto uri = bytes_of(name->d.uniformResourceIdentifier);
    if (uri.rfind("troupe:", 0) == 0) uris.push_back(std::move(uri));
  }
  if (uris.size() != 1)
    return "the certificate carries " + std::to_string(uris.size()) +
           " names troupe://<role>/<name> and must carry one; issue it with 'troupe pki issue'";
  const auto found = pki::parse_uri(uris[0]);
  if (!found)
    return "the certificate's name is not troupe://<role>/<name> with a role of Troupe and a name "
           "of at most 63 "
           "lower-case letters, digits or '-'; issue it with 'troupe pki issue'";
  identity.role = pki::role_name(found->role);
  identity.name = found->name;
  return "";
}

}  // namespace troupe::wire
