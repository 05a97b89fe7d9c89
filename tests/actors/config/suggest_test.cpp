#include "actors/config/suggest.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/config");

using namespace troupe::config;

TEST_CASE("edit distance counts insertions and deletions and substitutions and swaps once each") {
  CHECK(edit_distance("slots", "slots") == 0);
  CHECK(edit_distance("slot", "slots") == 1);
  CHECK(edit_distance("sloots", "slots") == 1);
  CHECK(edit_distance("slats", "slots") == 1);
  CHECK(edit_distance("solts", "slots") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "batch") == 5);
}

TEST_CASE("underscores and capitals do not count as edits") {
  CHECK(edit_distance("Max_New_Tokens", "max-new-tokens") == 0);
}

TEST_CASE("the nearest word is suggested only if it is close") {
  const std::vector<std::string> words = {"count", "slots", "temperature"};
  CHECK(nearest("slotz", words) == "slots");
  CHECK(nearest("temprature", words) == "temperature");
  CHECK_FALSE(nearest("verbose", words));
  CHECK_FALSE(nearest("sl", words));
  CHECK_FALSE(nearest(std::string(100000, 's'), words));
}

TEST_CASE("of two equally near words the first is suggested") {
  CHECK(nearest("clip", {"clip-a", "clip-b"}) == std::nullopt);
  CHECK(nearest("beta", {"beta1", "beta2"}) == "beta1");
}
