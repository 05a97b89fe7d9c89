#include "actors/telemetry/text.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

TEST_CASE("markup and quotes are escaped for HTML") {
  CHECK(escape_html("<script>alert('x')</script> & \"y\"") ==
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;");
}

TEST_CASE("controls and broken UTF-8 become replacement characters and good UTF-8 stays") {
  CHECK(escape_html("a\x1b\nb") == "a\xEF\xBF\xBD\nb");
  CHECK(escape_html("\xff") == "\xEF\xBF\xBD");
  CHECK(escape_html("\xC0\xAF").find('/') == std::string::npos);  // overlong
  CHECK(escape_html("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
}

TEST_CASE("one line has no controls and is cut at its limit between characters") {
  CHECK(one_line("a\n\x1b[2Jb", 20) == "a  [2Jb");
  CHECK(one_line("a\xC2\x9B"
                 "b",
                 20) == "a b");  // C1: an escape of one character
  CHECK(one_line("abcdefgh", 8) == "abcdefgh");
  CHECK(one_line("abcdefghi", 8) == "abcde...");
  CHECK(one_line("\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC", 4) == "\xC3\xBC...");
}

TEST_CASE("columns count characters and padding fills them up") {
  CHECK(columns("gr\xC3\xBC") == 3);
  CHECK(pad_left("gr\xC3\xBC", 5) == "  gr\xC3\xBC");
  CHECK(pad_right("ab", 4) == "ab  ");
  CHECK(pad_right("abcdef", 4) == "abcdef");
}

TEST_CASE("numbers are short at every size") {
  CHECK(short_number(0) == "0");
  CHECK(short_number(0.9125) == "0.912");
  CHECK(short_number(3.4e-6) == "3.4e-06");
  CHECK(short_number(std::numeric_limits<double>::quiet_NaN()) == "n/a");
  CHECK(short_rate(98123) == "98k");
  CHECK(short_rate(1234567) == "1.2M");
  CHECK(short_rate(812) == "812");
  CHECK(short_rate(9960) == "10k");
  CHECK(percent(0.123) == "12%");
}

TEST_CASE("durations and times are written as people read them") {
  CHECK(duration_text(7.34) == "7.3 s");
  CHECK(duration_text(125) == "2:05");
  CHECK(duration_text(3723) == "1:02:03");
  CHECK(iso_utc(std::chrono::system_clock::from_time_t(951782400)) == "2000-02-29T00:00:00Z");
}

TEST_CASE("JSON is written for broken UTF-8 and for numbers that are not finite") {
  CHECK(dump_json({{"a", "\xff"}, {"b", std::numeric_limits<double>::infinity()}}) ==
        "{\"a\":\"\xEF\xBF\xBD\",\"b\":null}");
}

}  // namespace troupe
