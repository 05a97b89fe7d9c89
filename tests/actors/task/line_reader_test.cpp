#include "actors/task/line_reader.hpp"

#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

namespace {

std::vector<std::string> lines(const std::string& text) {
  const TemporaryFolder folder;
  LineReader reader(folder.write("text", text));
  std::vector<std::string> all;
  while (reader.next()) {
    CHECK(reader.number() == all.size() + 1);
    CHECK_FALSE(reader.too_long());
    all.push_back(reader.text());
  }
  CHECK_FALSE(reader.next());
  return all;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("lines end with a newline or with the file") {
  CHECK(lines("") == Lines{});
  CHECK(lines("a") == Lines{"a"});
  CHECK(lines("a\nb\n") == Lines{"a", "b"});
  CHECK(lines("\n\na") == Lines{"", "", "a"});
  CHECK(lines("a\r\n\r\nb\rc\r\n") == Lines{"a", "", "b\rc"});
}

TEST_CASE("only a byte order mark at the start is left out") {
  CHECK(lines("\xEF\xBB\xBF") == Lines{""});
  CHECK(lines("\xEF\xBB\xBF"
              "a\n\xEF\xBB\xBF"
              "b") == Lines{"a",
                            "\xEF\xBB\xBF"
                            "b"});
}

TEST_CASE("lines across the ends of the buffer are whole") {
  Lines wanted;
  std::string text;
  for (std::size_t size = 65'530; size < 65'545; ++size) {
    wanted.emplace_back(size, static_cast<char>('a' + size % 26));
    text += wanted.back() + '\n';
  }
  CHECK(lines(text) == wanted);
}

TEST_CASE("a line beyond the limit is cut and the next one is whole") {
  const TemporaryFolder folder;
  const std::string longest(LineReader::kLongestLine, 'x');
  LineReader reader(folder.write("text", longest + "\n" + longest + "y\nz"));
  REQUIRE(reader.next());
  CHECK_FALSE(reader.too_long());
  REQUIRE(reader.next());
  CHECK(reader.too_long());
  CHECK(reader.text().size() == LineReader::kLongestLine);
  REQUIRE(reader.next());
  CHECK(reader.text() == "z");
  CHECK_FALSE(reader.too_long());
}
