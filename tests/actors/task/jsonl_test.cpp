#include "actors/task/task.hpp"
#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;
using namespace std::string_literals;

namespace {

std::vector<DataRow> read(const std::string& text, bool need_answer = true,
                          bool need_response = false) {
  const TemporaryFolder folder;
  return read_jsonl(folder.write("data.jsonl", text), need_answer, need_response);
}

std::string refusal(const std::string& text, bool need_answer = true, bool need_response = false) {
  const TemporaryFolder folder;
  const auto file = folder.write("data.jsonl", text);
  return message_of([&] { read_jsonl(file, need_answer, need_response); }, folder.path());
}

const std::string kGood = "{\"prompt\":\"1+2=\",\"answer\":\"03\"}\n";

}  // namespace

TEST_CASE("rows are read with their line numbers and metadata") {
  const auto rows = read(
      "{\"prompt\":\"1+2=\",\"answer\":\"03\",\"meta\":{\"b\":[1,2],\"a\":null}}\n"
      "\n \t\n"
      "{\"answer\": \"05\", \"extra\": [true], \"prompt\": \"2+3=\"}");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].prompt == "1+2=");
  CHECK(rows[0].answer == "03");
  CHECK(rows[0].response.empty());
  CHECK(rows[0].meta == "{\"a\":null,\"b\":[1,2]}");
  CHECK(rows[0].line == 1);
  CHECK(rows[1].prompt == "2+3=");
  CHECK(rows[1].meta.empty());
  CHECK(rows[1].line == 4);
}

TEST_CASE("a byte order mark and Windows line ends are no part of the rows") {
  const auto rows = read(
      "\xEF\xBB\xBF{\"prompt\":\"1+2=\",\"answer\":\"03\"}\r\n\r\n{\"prompt\":\"a\",\"answer\":"
      "\"b\"}\r\n");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].prompt == "1+2=");
  CHECK(rows[1].line == 3);
}

TEST_CASE("escapes and characters beyond ASCII are read") {
  const auto rows = read("{\"prompt\":\"\\u20ac \xC3\xA9\\n\\ud83d\\ude00\",\"answer\":\"\\\"\"}");
  CHECK(rows[0].prompt == "\xE2\x82\xAC \xC3\xA9\n\xF0\x9F\x98\x80");
  CHECK(rows[0].answer == "\"");
}

TEST_CASE("what a row needs depends on its use") {
  CHECK(read("{\"prompt\":\"p\",\"response\":\"r\"}", false, true)[0].response == "r");
  CHECK(read("{\"prompt\":\"p\"}", false, false)[0].answer.empty());
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\"}", false, true) ==
        "data.jsonl:1: \"response\" is missing; every row needs it");
  CHECK(refusal("{\"answer\":\"a\"}") == "data.jsonl:1: \"prompt\" is missing; every row needs it");
  CHECK(refusal("{\"prompt\":\"a\"}") == "data.jsonl:1: \"answer\" is missing; every row needs it");
}

TEST_CASE("fields of the wrong kind are refused with a remedy") {
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":42}") ==
        "data.jsonl:1: \"answer\" is of type number; write it as text, in quotes");
  CHECK(refusal("{\"prompt\":null,\"answer\":\"a\"}") ==
        "data.jsonl:1: \"prompt\" is of type null; write it as text, in quotes");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\",\"response\":[]}") ==
        "data.jsonl:1: \"response\" is of type array; write it as text, in quotes");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\",\"meta\":\"m\"}") ==
        "data.jsonl:1: \"meta\" is of type string; write an object, {...}");
  CHECK(refusal("{\"prompt\":\"\",\"answer\":\"a\"}") ==
        "data.jsonl:1: \"prompt\" is empty; fill it in or remove the row");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"\"}") ==
        "data.jsonl:1: \"answer\" is empty; fill it in or remove the row");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"1<2\"}") ==
        "data.jsonl:1: \"answer\" holds '<', which no response may have in its answer; write it "
        "without");
  CHECK(refusal("{\"prompt\":\"p\\u0000\",\"answer\":\"a\"}") ==
        "data.jsonl:1: \"prompt\" holds a NUL character; remove it");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\",\"prompt\":\"q\"}") ==
        "data.jsonl:1: \"prompt\" is given twice; keep one");
}

TEST_CASE("keys inside the metadata may be called prompt") {
  CHECK(read("{\"prompt\":\"p\",\"answer\":\"a\",\"meta\":{\"prompt\":1,\"x\":{\"prompt\":2}}}")
            .size() == 1);
}

TEST_CASE("lines that are not JSON objects are refused with the place") {
  CHECK(refusal(kGood + "{\"prompt\":\"p\",}\n") ==
        "data.jsonl:2: not JSON at byte 15; write one object per line, such as "
        "{\"prompt\": \"1+2=\", \"answer\": \"03\"}");
  CHECK(refusal("[]") == "data.jsonl:1: not an object; write {\"prompt\": ...}");
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\"} {}")
            .starts_with("data.jsonl:1: not JSON at byte 29"));
  CHECK(refusal("{\"prompt\":\"\\ud800\",\"answer\":\"a\"}")
            .starts_with("data.jsonl:1: not JSON at byte 18"));
  CHECK(refusal("{\"prompt\":\"p\tq\",\"answer\":\"a\"}")
            .starts_with("data.jsonl:1: not JSON at byte "));
  CHECK(refusal("{\"prompt\":\"p\",\"answer\":\"a\",\"meta\":{\"n\":1e999}}") ==
        "data.jsonl:1: a number is too large; write it as text, in quotes");
}

TEST_CASE("bytes that are not text are refused with the place") {
  CHECK(refusal("{\"prompt\":\"\xFF\",\"answer\":\"a\"}") ==
        "data.jsonl:1: byte 0xFF at byte 12 is not UTF-8; save the file as UTF-8");
  CHECK(refusal(kGood + "{\"prompt\":\"p\",\"answer\":\"a\"}\0junk"s) ==
        "data.jsonl:2: NUL byte at byte 28; save the file as UTF-8 text");
  CHECK(refusal("\0"s) == "data.jsonl:1: NUL byte at byte 1; save the file as UTF-8 text");
}

TEST_CASE("deep nesting and huge lines are refused instead of exhausting memory") {
  const auto nested = [](std::size_t depth) {
    return "{\"prompt\":\"p\",\"answer\":\"a\",\"meta\":{\"m\":" + std::string(depth, '[') +
           std::string(depth, ']') + "}}";
  };
  CHECK(read(nested(50)).size() == 1);
  CHECK(refusal(nested(1'000'000)) == "data.jsonl:1: nested deeper than 64; flatten it");
  const std::string megabytes(17u << 20, ' ');
  CHECK(refusal("{" + megabytes + "\n" + kGood + megabytes) ==
        "data.jsonl:1: longer than 16 MiB; write one JSON object per line\n"
        "data.jsonl:3: longer than 16 MiB; write one JSON object per line");
  CHECK(read("{\"prompt\":\"" + std::string(1u << 20, 'p') + "\",\"answer\":\"a\"}")[0]
            .prompt.size() == 1u << 20);
}

TEST_CASE("a prompt with two answers is refused naming both lines") {
  const std::string other = "{\"prompt\":\"1+2=\",\"answer\":\"3\"}\n";
  CHECK(refusal(kGood + "\n" + other) ==
        "data.jsonl:3: the prompt of line 1 again, with another answer; keep one of the two");
  CHECK(read(kGood + kGood).size() == 2);
  CHECK(read(kGood + other, false).size() == 2);
}

TEST_CASE("ten bad lines are reported at once and no more") {
  std::string text = kGood;
  for (int i = 0; i < 12; ++i) text += "{}\n";
  std::string expected;
  for (int line = 2; line <= 11; ++line) {
    expected +=
        "data.jsonl:" + std::to_string(line) + ": \"prompt\" is missing; every row needs it\n";
  }
  CHECK(refusal(text) == expected + "more lines were not checked");
  CHECK(refusal(kGood + "{}\n" + kGood + "[]\n") ==
        "data.jsonl:2: \"prompt\" is missing; every row needs it\n"
        "data.jsonl:4: not an object; write {\"prompt\": ...}");
}

TEST_CASE("a file without rows or that cannot be read is refused") {
  CHECK(refusal("") == "data.jsonl: has no rows; write one JSON object per line");
  CHECK(refusal("\n \n") == "data.jsonl: has no rows; write one JSON object per line");
  const TemporaryFolder folder;
  CHECK(message_of([&] { read_jsonl(folder.path() / "no.jsonl", true, false); }, folder.path()) ==
        "no.jsonl: cannot be opened; check the path and permissions");
  std::filesystem::create_directory(folder.path() / "sub");
  CHECK(message_of([&] { read_jsonl(folder.path() / "sub", true, false); }, folder.path()) ==
        "sub: is a folder; give a .jsonl file");
}

TEST_CASE("rows outside the vocabulary are refused naming file and line") {
  const auto tokenizer = Tokenizer::arithmetic();
  const auto check = [&](const std::vector<DataRow>& rows) {
    return message_of([&] { check_vocabulary(rows, tokenizer, "data.jsonl"); });
  };
  CHECK(check({{.prompt = "1+2=", .answer = "03", .response = "<think></think>", .line = 1}})
            .empty());
  CHECK(check({{.prompt = "1+2=", .answer = "03", .line = 1},
               {.prompt = "What is 1+2?", .answer = "3!", .line = 4}}) ==
        "data.jsonl:4: \"prompt\": \"W\" (U+0057) at character 1 is not in the vocabulary of the "
        "model; remove it or train a model that knows it\n"
        "data.jsonl:4: \"answer\": \"!\" (U+0021) at character 2 is not in the vocabulary of the "
        "model; remove it or train a model that knows it");
  CHECK(check({{.prompt = "1+2=", .response = "03<eos>", .line = 2}}) ==
        "data.jsonl:2: \"response\" holds <eos>, which is added by itself; remove it");
  CHECK(check({{.prompt = "<bos>1+2=", .line = 2}}) ==
        "data.jsonl:2: \"prompt\" holds <bos>, which is added by itself; remove it");
  const auto message = check(std::vector<DataRow>(20, {.prompt = "x", .line = 3}));
  CHECK(std::count(message.begin(), message.end(), '\n') == 10);
  CHECK(message.ends_with("\nmore lines were not checked"));
}
