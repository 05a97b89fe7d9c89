#include "actors/task/task.hpp"
#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

namespace {

// CRC-32 bit by bit (polynomial 0xEDB88320, as in zlib).
std::uint32_t slow_crc32(std::string_view text) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  return ~crc;
}

}  // namespace

TEST_CASE("an addition problem is written as in the recipe") {
  const AdditionProblem problem{3, 478, 365};
  CHECK(problem.prompt() == "478+365=");
  CHECK(problem.answer() == "0843");
  CHECK(problem.work() == "8+5+0=13;7+6+1=14;4+3+1=08");
  CHECK(problem.worked_response() ==
        "<think>8+5+0=13;7+6+1=14;4+3+1=08</think><answer>0843</answer>");
}

TEST_CASE("operands and answers are padded with zeros") {
  const AdditionProblem small{2, 7, 0};
  CHECK(small.prompt() == "07+00=");
  CHECK(small.answer() == "007");
  CHECK(small.work() == "7+0+0=07;0+0+0=00");
  const AdditionProblem large{18, 999'999'999'999'999'999u, 999'999'999'999'999'999u};
  CHECK(large.prompt() == "999999999999999999+999999999999999999=");
  CHECK(large.answer() == "1999999999999999998");
  CHECK(large.work().starts_with("9+9+0=18;9+9+1=19;"));
}

TEST_CASE("the worked answer is the answer for every problem of two digits") {
  for (std::uint64_t a = 0; a < 100; ++a) {
    for (std::uint64_t b = 0; b < 100; ++b) {
      const AdditionProblem problem{2, a, b};
      std::string sum = std::to_string(a + b);
      sum.insert(0, 3 - sum.size(), '0');
      REQUIRE(problem.answer() == sum);
      REQUIRE(problem.worked_response().ends_with("<answer>" + sum + "</answer>"));
    }
  }
}

TEST_CASE("a problem is held out by the CRC-32 of its prompt") {
  CHECK_FALSE(held_out("478+365="));
  CHECK(held_out("99+22="));
  CHECK(held_out("39+33="));
  CHECK(held_out("957+837="));
  int count = 0;
  for (std::uint64_t a = 0; a < 100; ++a) {
    for (std::uint64_t b = 0; b < 100; ++b) {
      const std::string prompt = AdditionProblem{2, a, b}.prompt();
      REQUIRE(held_out(prompt) == (slow_crc32(prompt) % 8 == 0));
      count += held_out(prompt);
    }
  }
  CHECK(count == 1250);
}

TEST_CASE("training prompts are never held out and both lengths are equally often drawn") {
  const auto prompts = addition_prompts({2, 3}, 7);
  std::map<std::size_t, int> by_length;
  for (int i = 0; i < 10'000; ++i) {
    const auto prompt = prompts->next();
    REQUIRE_FALSE(held_out(prompt.text));
    ++by_length[prompt.text.size()];
  }
  CHECK(by_length.size() == 2);
  CHECK(by_length[6] > 4800);
  CHECK(by_length[8] > 4800);
}

TEST_CASE("training prompts are uniform over the problems of a length") {
  const auto prompts = addition_prompts({1}, 3);
  std::map<std::string, int> drawn;
  for (int i = 0; i < 8700; ++i) ++drawn[prompts->next().text];
  CHECK(drawn.size() == 87);  // 13 of 100 are held out
  double chi_square = 0;
  for (const auto& [text, count] : drawn) chi_square += (count - 100.0) * (count - 100.0) / 100.0;
  CHECK(chi_square < 140);  // 86 degrees of freedom: 99.98 %
  CHECK(chi_square > 45);
}

TEST_CASE("a length that is listed twice is drawn twice as often") {
  const auto prompts = addition_prompts({2, 3, 3}, 1);
  int threes = 0;
  for (int i = 0; i < 9000; ++i) threes += prompts->next().text.size() == 8;
  CHECK(threes > 5820);  // 6000 +- 4 standard errors
  CHECK(threes < 6180);
}

TEST_CASE("a seed gives the same prompts on every machine") {
  const auto first = addition_prompts({2, 3}, 0);
  const auto again = addition_prompts({2, 3}, 0);
  const auto other = addition_prompts({2, 3}, 1);
  int equal = 0;
  std::string golden;
  for (int i = 0; i < 100; ++i) {
    const auto prompt = first->next();
    const auto same = again->next();
    REQUIRE(prompt.text == same.text);
    REQUIRE(prompt.uid == same.uid);
    equal += prompt.text == other->next().text;
    if (i < 4) golden += prompt.text;
  }
  CHECK(equal < 5);
  CHECK(golden == "25+46=584+241=693+031=956+201=");
}

TEST_CASE("a seed gives the same held-out problems and probe on every machine") {
  std::string held_out_prompts, probe_prompts;
  for (const auto& problem : addition_held_out({2, 3}, 4, 99)) held_out_prompts += problem.prompt();
  for (const auto& document : addition_probe(3, 2, 99)) probe_prompts += document.prompt;
  CHECK(held_out_prompts == "74+41=678+811=16+53=126+497=");
  CHECK(probe_prompts == "418+507=610+573=");
}

TEST_CASE("the uid of a prompt is the XXH3 hash of its text") {
  CHECK(make_prompt("").uid == 0x2D06800538D394C2u);  // the reference value of XXH3-64 of nothing
  CHECK(make_prompt("478+365=").uid != make_prompt("478+366=").uid);
  CHECK(make_prompt("478+365=").text == "478+365=");
}

TEST_CASE("held-out problems take the lengths in turn and are the same for a seed") {
  const auto problems = addition_held_out({2, 3}, 384, 99);
  const auto fewer = addition_held_out({2, 3}, 100, 99);
  const auto others = addition_held_out({2, 3}, 100, 98);
  REQUIRE(problems.size() == 384);
  int equal = 0;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    CHECK(problems[i].digits == (i % 2 == 0 ? 2 : 3));
    CHECK(problems[i].a < 1000u);
    CHECK(held_out(problems[i].prompt()));
    if (i >= 100) continue;
    CHECK(problems[i].prompt() == fewer[i].prompt());
    equal += problems[i].prompt() == others[i].prompt();
  }
  CHECK(equal < 10);
  CHECK(addition_held_out({1}, 5, 1).size() == 5);
}

TEST_CASE("the addition key answers prompts of its own form only") {
  const auto key = addition_answers();
  CHECK(key->answer("478+365=") == "0843");
  CHECK(key->answer("07+00=") == "007");
  CHECK(key->answer("999999999999999999+999999999999999999=") == "1999999999999999998");
  for (const char* prompt :
       {"", "=", "+=", "1+2", "1+2= ", " 1+2=", "12+3=", "1+23=", "1-2=", "a+b=", "1+2+3=", "++=",
        "-1+01=", "1+2=\n", "<bos>1+2=", "1111111111111111111+1111111111111111111="}) {
    CAPTURE(prompt);
    CHECK_FALSE(key->answer(prompt).has_value());
  }
  CHECK_FALSE(key->answer(std::string("1+2=\0", 5)).has_value());
}

TEST_CASE("lengths that cannot be drawn are refused") {
  const std::string message = "addition: digits must be one or more lengths in 1 .. 18";
  CHECK(message_of([] { addition_prompts({}, 0); }) == message);
  CHECK(message_of([] { addition_prompts({2, 0}, 0); }) == message);
  CHECK(message_of([] { addition_held_out({19}, 1, 0); }) == message);
  CHECK(message_of([] { addition_probe(-1, 1, 0); }) == message);
  CHECK(message_of([] { addition_corpus({}, {}, 0); }) == message);
}
