#include "actors/config/schema.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <set>

TEST_SUITE_BEGIN("actors/config");

using namespace troupe;
using namespace troupe::config;

namespace {

const void* address(const Slot& slot) {
  if (std::holds_alternative<EnumSlot>(slot)) return nullptr;
  return std::visit(
      [](const auto& member) -> const void* {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(member)>>)
          return member;
        else
          return nullptr;
      },
      slot);
}

}  // namespace

TEST_CASE("no two keys share a name within a section or a member") {
  Config config;
  StageConfig stage;
  std::set<const void*> members;
  for (const auto& section : sections()) {
    std::set<std::string> names;
    for (const auto& key : section.keys) {
      CAPTURE(section.name + "." + key.name);
      CHECK(names.insert(key.name).second);
      const void* member = address(key.member({config, &stage}));
      CHECK((member == nullptr || members.insert(member).second));
    }
  }
}

TEST_CASE("names are kebab-case and every key has a comment") {
  for (const auto& section : sections()) {
    CHECK_FALSE(section.comment.empty());
    for (const auto& key : section.keys) {
      CAPTURE(key.name);
      CHECK(key.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
            std::string::npos);
      CHECK(key.comment.size() > 10);
      CHECK(key.comment.back() == '.');
    }
  }
}

TEST_CASE("every default fulfils its own rule unless the key must be given") {
  Config config;
  StageConfig stage;
  std::vector<std::string> refused;
  for (const auto& section : sections()) {
    for (const auto& key : section.keys) {
      const Slot member = key.member({config, &stage});
      if (store(load(member, key.rule), member, key.rule, {}))
        refused.push_back(section.name + "." + key.name);
    }
  }
  CHECK(refused ==
        std::vector<std::string>{"stage.kind", "stage.name", "stage.updates", "stage.digits"});
}

TEST_CASE("facts tell unit and range and default") {
  CHECK(facts(*find_section("generator")->find("slots")) == "rollouts; 1 to 65536; default 256");
  CHECK(facts(*find_section("learner")->find("clip-low")) == "at least 0 and below 1; default 0.2");
  CHECK(facts(*find_section("learner")->find("correction")) ==
        "one of \"ppo\", \"decoupled\", \"none\"; default \"ppo\"");
  CHECK(facts(*stage_section().find("updates")) == "updates; 1 to 100000000");
  CHECK(facts(*stage_section().find("name")).empty());
}

TEST_CASE("numbers are written as the shortest text that reads back") {
  CHECK(to_toml(0.1) == "0.1");
  CHECK(to_toml(1.0) == "1.0");
  CHECK(to_toml(1000.0) == "1000.0");
  CHECK(to_toml(0.00025) == "0.00025");
  CHECK(to_toml(1e-8) == "1e-8");
  CHECK(to_toml(1e-30) == "1e-30");
  CHECK(to_toml(1e20) == "1e+20");
  CHECK(to_toml(std::int64_t{-7}) == "-7");
  CHECK(to_toml(std::vector<std::int64_t>{2, 3, 3}) == "[2, 3, 3]");
}

TEST_CASE("strings are escaped") {
  CHECK(to_toml(std::string("a\"b\\c\nd\x7f")) == "\"a\\\"b\\\\c\\u000ad\\u007f\"");
}

TEST_CASE("a float member shows the decimal that was typed") {
  float member = 0;
  const Rule rule{0, 1, false, false, {}, PathKind::output};
  REQUIRE_FALSE(store(0.28, slot(member), rule, {}));
  CHECK(member == 0.28f);
  CHECK(to_toml(load(slot(member), rule)) == "0.28");
}

TEST_CASE("a refused value leaves the member alone") {
  std::int32_t member = 5;
  const Rule rule{1, 9, false, false, {}, PathKind::output};
  const auto complaint = store(std::int64_t{10}, slot(member), rule, {});
  REQUIRE(complaint);
  CHECK(complaint->message == "10 is out of range");
  CHECK(complaint->remedy == "give an integer, 1 to 9");
  CHECK(member == 5);
}

TEST_CASE("an integer that does not fit its member is out of range even without bounds") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Rule rule{-kInfinity, kInfinity, false, false, {}, PathKind::output};
  std::int32_t narrow = 5;
  std::uint64_t natural = 5;
  CHECK(store(std::int64_t{1} << 40, slot(narrow), rule, {}));
  CHECK(store(std::int64_t{-1}, slot(natural), rule, {}));
  CHECK_FALSE(store(std::int64_t{1} << 40, slot(natural), rule, {}));
  CHECK(narrow == 5);
  CHECK(natural == std::uint64_t{1} << 40);
}
