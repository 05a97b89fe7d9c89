#include "messages/pki/registry.hpp"

#include "messages/pki/files.hpp"
#include "tests/messages/pki/support.hpp"

#include <string>
#include <vector>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {
namespace {

using std::chrono::days;

Record record_of(const std::string& serial, const std::string& name) {
  Record record;
  record.serial = serial;
  record.fingerprint = "f" + serial;
  record.identity = {Role::generator, name};
  record.hosts = {"a.example", "::1"};
  record.lifetime = days(9);
  record.not_before = kToday;
  record.not_after = kToday + days(9);
  return record;
}

std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

}  // namespace

TEST_CASE("the record of an authority is read back as it was written") {
  TemporaryDirectory scratch;
  Registry registry{7, {record_of("01", "a"), record_of("02", "b-*")}};
  registry.records[1].revoked = kToday + days(1);
  write_registry(scratch.path() / "index.json", registry);
  const Registry again = read_registry(scratch.path() / "index.json");
  CHECK(again.crl_number == 7);
  REQUIRE(again.records.size() == 2);
  CHECK(again.records[0].serial == "01");
  CHECK(again.records[0].fingerprint == "f01");
  CHECK(again.records[0].identity == Identity{Role::generator, "a"});
  CHECK(again.records[0].hosts == std::vector<std::string>{"a.example", "::1"});
  CHECK(again.records[0].lifetime == days(9));
  CHECK(again.records[0].not_before == kToday);
  CHECK(again.records[0].not_after == kToday + days(9));
  CHECK_FALSE(again.records[0].revoked);
  CHECK(again.records[1].revoked == kToday + days(1));
}

TEST_CASE("the newest record of a name stands for it") {
  const Registry registry{1, {record_of("01", "a"), record_of("02", "b"), record_of("03", "a")}};
  CHECK(registry.newest("a")->serial == "03");
  CHECK(registry.newest("c") == nullptr);
  REQUIRE(registry.current().size() == 2);
  CHECK(registry.current()[0]->serial == "03");
  CHECK(registry.current()[1]->serial == "02");
  CHECK(registry.has_serial("01"));
  CHECK_FALSE(registry.has_serial("04"));
}

TEST_CASE("only records that are good today are in the way of a pool") {
  Registry registry{1, {record_of("01", "gen-0")}};
  CHECK(registry.in_the_way_of("gen-*", kToday) != nullptr);
  CHECK(registry.in_the_way_of("gen-0", kToday) == nullptr);
  CHECK(registry.in_the_way_of("gen-*", kToday + days(9)) == nullptr);
  registry.records[0].revoked = kToday;
  CHECK(registry.in_the_way_of("gen-*", kToday) == nullptr);
}

TEST_CASE("a damaged record names its file and the damage and the remedy") {
  TemporaryDirectory scratch;
  const auto file = scratch.path() / "index.json";
  write_registry(file, {1, {record_of("01", "a")}});
  const std::string good = read_file(file);
  const auto refusal = [&](const std::string& text) {
    write_file(file, text);
    return error_of([&] { read_registry(file); });
  };
  TROUPE_CHECK_HAS(refusal(good.substr(0, good.size() / 2)), "index.json: is not the record");
  TROUPE_CHECK_HAS(refusal(""), "restore it from a backup");
  TROUPE_CHECK_HAS(refusal("[]"), "index.json");
  TROUPE_CHECK_HAS(refusal(with(good, "\"format\": 1", "\"format\": 2")), "its format is 2, not 1");
  TROUPE_CHECK_HAS(refusal(with(good, "\"generator\"", "\"emperor\"")), "no role emperor");
  TROUPE_CHECK_HAS(refusal(with(good, "\"a\"", "\"../a\"")), "a name has 1 to 63");
  TROUPE_CHECK_HAS(refusal(with(good, "2026-11-28T12:00:00Z", "today")), "is no time: today");
  TROUPE_CHECK_HAS(refusal(with(good, "\"serial\"", "\"cereal\"")), "serial");
}

TEST_CASE("the record is for its owner alone") {
  TemporaryDirectory scratch;
  write_registry(scratch.path() / "index.json", {});
  CHECK_FALSE(open_to_others(scratch.path() / "index.json"));
}

}  // namespace troupe::pki
