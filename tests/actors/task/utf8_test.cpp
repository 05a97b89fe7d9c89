#include "actors/task/utf8.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

TEST_CASE("utf8 reads characters of one to four bytes") {
  CHECK(first_code_point("az").value == U'a');
  CHECK(first_code_point("az").bytes == 1);
  CHECK(first_code_point("\xC3\xA9").value == 0xE9);
  CHECK(first_code_point("\xE2\x82\xACx").value == 0x20AC);
  CHECK(first_code_point("\xE2\x82\xACx").bytes == 3);
  CHECK(first_code_point("\xF0\x9F\x98\x80").value == 0x1F600);
  CHECK(first_code_point("\xF4\x8F\xBF\xBF").value == 0x10FFFF);
}

TEST_CASE("utf8 refuses what is not a character") {
  for (const char* text : {"", "\x80", "\xC3", "\xC3(", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF", "\xE2\x82"}) {
    CAPTURE(text);
    CHECK(first_code_point(text).bytes == 0);
  }
}

TEST_CASE("utf8 finds the first malformed byte") {
  CHECK_FALSE(first_malformed_byte("").has_value());
  CHECK_FALSE(first_malformed_byte("a\xC3\xA9z").has_value());
  CHECK(first_malformed_byte("a\xC3\xA9\xFFz") == 3u);
  CHECK(first_malformed_byte("ab\xC3") == 2u);
}

TEST_CASE("utf8 describes characters without writing control characters") {
  CHECK(describe_character("x") == "\"x\" (U+0078)");
  CHECK(describe_character("\xC3\xA9") == "\"\xC3\xA9\" (U+00E9)");
  CHECK(describe_character("\x1B[2J") == "U+001B");
  CHECK(describe_character("\xC2\x9B") == "U+009B");
  CHECK(describe_byte('\xFF') == "0xFF");
}

TEST_CASE("utf8 quotes text that is safe to show") {
  CHECK(in_quotes("") == "\"\"");
  CHECK(in_quotes("a \xC3\xA9") == "\"a \xC3\xA9\"");
  CHECK(in_quotes("\x1B[2J\xC2\x9B\xFF\x7F") == "\"?[2J???\"");
  CHECK(in_quotes(std::string(40, 'x')) == '"' + std::string(40, 'x') + '"');
  CHECK(in_quotes(std::string(41, 'x')) == '"' + std::string(40, 'x') + "...\"");
}
