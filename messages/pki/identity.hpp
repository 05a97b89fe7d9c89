#pragma once
// Whom a certificate speaks for: a role and a name, written as its one URI
// `troupe://<role>/<name>`.
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::pki {

enum class Role { director, learner, replay_buffer, broadcaster, generator, verifier, observer };
inline constexpr std::array kRoles = {Role::director,    Role::learner,   Role::replay_buffer,
                                      Role::broadcaster, Role::generator, Role::verifier,
                                      Role::observer};

/// As in configs and certificates: "replay-buffer".
std::string_view role_name(Role role);
std::optional<Role> parse_role(std::string_view text);
std::vector<std::string> role_names();
/// Whether others dial it: then its certificate names hosts and is good for both ends of a link.
/// The others only dial, and their certificates are good for that end alone.
bool serves(Role role);
/// Whether others may dial it at all: those, and generators, which hand weights on and are known by name alone.
bool has_gate(Role role);

/// A name is [a-z0-9-]{1,63}; or, for a role that does not serve, a pool `PREFIX-*`.
///
/// The holder of a pool's certificate may join as any `PREFIX-SUFFIX`, SUFFIX of [a-z0-9-], so that
/// pods that come and go need no certificate each. It gets no more than that role in any case, is
/// bound to no host, and takes nobody's name: an authority never issues a name of its own, or
/// another pool, within a pool. What it gives up is telling members apart: each can pose as another
/// of its pool, and revoking it revokes them all.
struct Identity {
  Role role = Role::observer;
  std::string name;

  friend bool operator==(const Identity&, const Identity&) = default;
};

std::string uri(const Identity& identity);
/// Nothing unless the whole text is a URI of a known role and a valid name.
std::optional<Identity> parse_uri(std::string_view text);

bool is_pool(std::string_view name);
bool is_plain_name(std::string_view name);
/// Errors: throws Error, with the rule, if the role may not have this name.
void require_name(const Identity& identity);

/// Whether the holder of a certificate may call itself this: its own name, or one of its pool.
bool may_join_as(const Identity& identity, std::string_view name);
/// Whether some name could be claimed with both.
bool overlap(std::string_view name, std::string_view other);

/// Its files in an authority's directory: `gen-0`, and `gen-_any` for the pool `gen-*`.
std::string file_stem(std::string_view name);

}  // namespace troupe::pki
