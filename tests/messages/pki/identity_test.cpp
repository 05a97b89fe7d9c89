#include "messages/pki/identity.hpp"

#include "tests/messages/pki/support.hpp"

#include <string>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {

TEST_CASE("an identity is read back from its uri") {
  for (const Role role : kRoles) {
    const Identity identity{role, "a-0"};
    CHECK(parse_uri(uri(identity)) == identity);
  }
  CHECK(uri({Role::replay_buffer, "buffer"}) == "troupe://replay-buffer/buffer");
  CHECK(parse_uri("troupe://generator/gen-*") == Identity{Role::generator, "gen-*"});
}

TEST_CASE("a uri that is nearly one of ours is none") {
  for (const std::string text :
       {"", "troupe://", "troupe://generator", "troupe://generator/", "troupe://generator/a/b",
        "troupe://generator/A", "troupe://generator/a b", "troupe://generator/a?x",
        "troupe://Generator/a", "troupe://generators/a", "troupe:/generator/a",
        "Troupe://generator/a", "https://generator/a", "troupe://generator/*",
        "troupe://generator/-*", "troupe://generator/*-a", "troupe://generator/a-*-*",
        "troupe://director/d-*"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_uri(text));
  }
  CHECK_FALSE(parse_uri(std::string_view("troupe://generator/a\0b", 22)));
  CHECK_FALSE(parse_uri("troupe://generator/" + std::string(64, 'a')));
  CHECK(parse_uri("troupe://generator/" + std::string(63, 'a')));
}

TEST_CASE("a holder may join under its own name or one of its pool") {
  CHECK(may_join_as({Role::generator, "gen-0"}, "gen-0"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-0"}, "gen-1"));
  CHECK(may_join_as({Role::generator, "gen-*"}, "gen-7f9c-x2"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "gen-"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "gen"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "gen-*"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "other-0"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "gen-A"));
  CHECK_FALSE(may_join_as({Role::generator, "gen-*"}, "gen-" + std::string(60, 'a')));
}

TEST_CASE("names overlap if both could be claimed by one process") {
  CHECK(overlap("gen-0", "gen-0"));
  CHECK_FALSE(overlap("gen-0", "gen-1"));
  CHECK(overlap("gen-*", "gen-0"));
  CHECK(overlap("gen-0", "gen-*"));
  CHECK(overlap("gen-*", "gen-a-*"));
  CHECK(overlap("gen-a-*", "gen-*"));
  CHECK_FALSE(overlap("gen-a-*", "gen-b-*"));
  CHECK_FALSE(overlap("gen-*", "gen"));
}

TEST_CASE("no two names share their files") {
  CHECK(file_stem("gen-0") == "gen-0");
  CHECK(file_stem("gen-*") == "gen-_any");
  CHECK_FALSE(is_plain_name(file_stem("gen-*")));
}

TEST_CASE("only roles that are dialled serve") {
  CHECK(serves(Role::director));
  CHECK(serves(Role::learner));
  CHECK(serves(Role::replay_buffer));
  CHECK(serves(Role::broadcaster));
  CHECK_FALSE(serves(Role::generator));
  CHECK_FALSE(serves(Role::verifier));
  CHECK_FALSE(serves(Role::observer));
}

}  // namespace troupe::pki
