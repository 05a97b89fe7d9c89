#pragma once
// Who a certificate says its owner is.
#include <openssl/x509.h>

#include <string>
#include <vector>

namespace troupe::wire {

/// What a certificate says of its owner: exactly one URI `troupe://<role>/<name>` among its
/// alternative names. The role is one of director learner replay-buffer broadcaster generator
/// verifier observer; the name has 1 to 64 letters, digits, '-', '.' or '_'.
struct PeerIdentity {
  std::string name;
  std::string role;
  std::vector<std::string> hosts;  ///< DNS names and IP addresses that the certificate is for.
};

/// Whether `role` is one that a certificate may name.
bool is_role(const std::string& role);

/// Reads the identity of a certificate. Returns what is wrong with it and what to do; empty when
/// nothing is. Any thread.
std::string read_identity(const X509& certificate, PeerIdentity& identity);

}  // namespace troupe::wire
