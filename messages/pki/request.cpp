#include "messages/pki/request.hpp"

#include "messages/pki/error.hpp"

#include <algorithm>

namespace troupe::pki {
namespace {

constexpr std::chrono::days kLongestLifetime{36500};

void require_lifetime(std::chrono::days lifetime) {
  if (lifetime < std::chrono::days(1) || lifetime > kLongestLifetime)
    throw Error("a lifetime of " + std::to_string(lifetime.count()) + " days: give 1 to " +
                std::to_string(kLongestLifetime.count()));
}

}  // namespace

void require_valid(const AuthorityOptions& options) {
  require_lifetime(options.lifetime);
  const std::string& name = options.name;
  const bool printable =
      std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (name.empty() || name.size() > 64 || !printable)
    throw Error("the name of an authority has 1 to 64 printable ASCII characters");
}

void require_valid(const LeafRequest& request) {
  require_name({request.role, request.name});
  if (request.name == "ca" || request.name == "crl")
    throw Error("name " + request.name + ": its files would be the authority's; choose another");
  const std::string role(role_name(request.role));
  if (serves(request.role) && request.hosts.empty())
    throw Error("role " + role +
                " is dialled by others, who check its host: give every DNS name and address it is "
                "reached under with --host");
  if (is_pool(request.name) && !request.hosts.empty())
    throw Error("name " + request.name + ": a pool is bound to no host; leave out --host");
  if (request.lifetime) require_lifetime(*request.lifetime);
}

}  // namespace troupe::pki
