#include "messages/pki/identity.hpp"

#include "messages/pki/error.hpp"

#include <algorithm>

namespace troupe::pki {
namespace {

constexpr std::string_view kScheme = "troupe://";
constexpr std::size_t kLongestName = 63;

std::string_view prefix_of(std::string_view pool) {
  return pool.substr(0, pool.size() - 1);
}

bool valid_name(const Identity& identity) {
  return is_plain_name(identity.name) || (is_pool(identity.name) && !serves(identity.role));
}

}  // namespace

std::string_view role_name(Role role) {
  switch (role) {
    case Role::director:
      return "director";
    case Role::learner:
      return "learner";
    case Role::replay_buffer:
      return "replay-buffer";
    case Role::broadcaster:
      return "broadcaster";
    case Role::generator:
      return "generator";
    case Role::verifier:
      return "verifier";
    case Role::observer:
      return "observer";
  }
  throw Error("a role that has no name");
}

std::optional<Role> parse_role(std::string_view text) {
  for (const Role role : kRoles)
    if (role_name(role) == text) return role;
  return {};
}

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  for (const Role role : kRoles) names.emplace_back(role_name(role));
  return names;
}

bool serves(Role role) {
  return role == Role::director || role == Role::learner || role == Role::replay_buffer ||
         role == Role::broadcaster;
}

bool has_gate(Role role) {
  return serves(role) || role == Role::generator;
}

std::string uri(const Identity& identity) {
  return std::string(kScheme) + std::string(role_name(identity.role)) + "/" + identity.name;
}

std::optional<Identity> parse_uri(std::string_view text) {
  if (!text.starts_with(kScheme)) return {};
  text.remove_prefix(kScheme.size());
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const std::optional<Role> role = parse_role(text.substr(0, slash));
  if (!role) return {};
  Identity identity{*role, std::string(text.substr(slash + 1))};
  if (!valid_name(identity)) return {};
  return identity;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool is_pool(std::string_view name) {
  return name.size() > 2 && name.ends_with("-*") && is_plain_name(prefix_of(name));
}

void require_name(const Identity& identity) {
  if (valid_name(identity)) return;
  if (is_pool(identity.name))
    throw Error("name " + identity.name + ": the role " + std::string(role_name(identity.role)) +
                " is dialled by name, so it cannot be a pool; give it one name");
  throw Error("name " + identity.name +
              ": a name has 1 to 63 of a-z, 0-9 and -; a pool of generators, verifiers or "
              "observers is PREFIX-*");
}

bool may_join_as(const Identity& identity, std::string_view name) {
  if (!is_plain_name(name)) return false;
  if (!is_pool(identity.name)) return identity.name == name;
  const std::string_view prefix = prefix_of(identity.name);
  return name.size() > prefix.size() && name.starts_with(prefix);
}

bool overlap(std::string_view name, std::string_view other) {
  if (name == other) return true;
  if (is_pool(name) && is_pool(other))
    return prefix_of(name).starts_with(prefix_of(other)) ||
           prefix_of(other).starts_with(prefix_of(name));
  if (is_pool(name)) return may_join_as({Role::observer, std::string(name)}, other);
  if (is_pool(other)) return may_join_as({Role::observer, std::string(other)}, name);
  return false;
}

std::string file_stem(std::string_view name) {
  return is_pool(name) ? std::string(prefix_of(name)) + "_any" : std::string(name);
}

}  // namespace troupe::pki
