#pragma once
// The hosts a certificate is good for: DNS names and IP addresses.
#include <string>
#include <string_view>
#include <vector>

namespace troupe::pki {

/// IPv4 or IPv6, without brackets, port or zone.
bool is_ip_address(std::string_view host);

/// Lower case, without repeats, in the given order. Errors: throws Error naming the host that is
/// neither an address nor a DNS name, and why (a port, a wildcard, a URL).
std::vector<std::string> normal_hosts(const std::vector<std::string>& hosts);

}  // namespace troupe::pki
