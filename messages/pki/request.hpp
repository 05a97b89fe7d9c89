#pragma once
// What may be asked of an authority.
#include "messages/pki/identity.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace troupe::pki {

inline constexpr std::chrono::days kAuthorityLifetime{3650}, kLeafLifetime{90};

struct AuthorityOptions {
  std::chrono::days lifetime = kAuthorityLifetime;
  std::string name = "troupe";  // of its certificate, for people; 1 to 64 printable characters
};

struct LeafRequest {
  Role role = Role::observer;
  std::string name;
  std::vector<std::string> hosts;  // a role that serves needs one at least; a pool has none
  std::optional<std::chrono::days> lifetime;  // none: 90 days, or what is left of the authority
};

/// Errors: both throw Error with the value and the rule it breaks. Hosts are checked by
/// normal_hosts.
void require_valid(const AuthorityOptions& options);
void require_valid(const LeafRequest& request);

}  // namespace troupe::pki
