#include "messages/pki/hosts.hpp"

#include "messages/pki/error.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>

namespace troupe::pki {
namespace {

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
         });
}

bool is_dns_name(std::string_view host) {
  if (host.size() > 253) return false;
  std::string_view last;
  for (std::size_t start = 0;;) {
    const std::size_t dot = host.find('.', start);
    last = host.substr(start, dot == std::string_view::npos ? dot : dot - start);
    if (!is_label(last)) return false;
    if (dot == std::string_view::npos) break;
    start = dot + 1;
  }
  // "300.1.1.1" is a mistyped address, not a name.
  return !std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string reason(std::string_view host) {
  if (host.empty()) return "is empty; give a DNS name or an IP address";
  if (host.find("//") != std::string_view::npos) return "is a URL; give the host alone";
  if (host.find('*') != std::string_view::npos)
    return "is a wildcard; repeat --host with each name it is reached under";
  if (host.find(':') != std::string_view::npos || host.find('[') != std::string_view::npos)
    return "is no host; give it without port and brackets";
  return "is neither a DNS name nor an IP address";
}

}  // namespace

bool is_ip_address(std::string_view host) {
  unsigned char address[16];
  const std::string text(host);
  return text.find('\0') == std::string::npos &&
         (::inet_pton(AF_INET, text.c_str(), address) == 1 ||
          ::inet_pton(AF_INET6, text.c_str(), address) == 1);
}

std::vector<std::string> normal_hosts(const std::vector<std::string>& hosts) {
  std::vector<std::string> normal;
  for (std::string host : hosts) {
    std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    });
    if (!is_ip_address(host) && !is_dns_name(host))
      throw Error("host " + host + " " + reason(host));
    if (std::find(normal.begin(), normal.end(), host) == normal.end()) normal.push_back(host);
  }
  return normal;
}

}  // namespace troupe::pki
