#include "actors/task/task.hpp"
#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

namespace {

AdditionProblem problem_of(const std::string& prompt) {
  const auto plus = prompt.find('+');
  return {static_cast<std::int32_t>(plus), std::stoull(prompt),
          std::stoull(prompt.substr(plus + 1))};
}

std::string between(const std::string& text, const std::string& open, const std::string& close) {
  const auto from = text.find(open) + open.size();
  return text.substr(from, text.find(close, from) - from);
}

// Which style a response has by its shape alone; steps without tags count as broken.
std::string style_of(const TextDocument& document) {
  const std::string& text = document.response;
  if (text.find('<') == std::string::npos) return "bare";
  if (text.starts_with("<think></think><answer>") && text.ends_with("</answer>")) return "direct";
  const bool whole = text.starts_with("<think>") && text.ends_with("</answer>") &&
                     text.find("</think><answer>") != std::string::npos;
  return whole ? "work" : "broken";
}

constexpr AdditionMix kOnlyWork = {.work = 1};
constexpr AdditionMix kWeb = {
    .bare = .12, .direct = .38, .work = .38, .broken = .12, .step_error = .02};

// Reads "8+5+0=13;..." back and follows the carry; counts columns with a wrong sum.
struct Columns {
  int count = 0, wrong = 0;
  std::map<int, int> by_error;
  std::string answer;  // as the written sums give it
};
Columns follow(const AdditionProblem& problem, const std::string& steps) {
  Columns columns;
  std::string rest = steps + ';';
  std::uint64_t a = problem.a, b = problem.b;
  int carry = 0;
  for (; !rest.empty(); rest.erase(0, rest.find(';') + 1), a /= 10, b /= 10) {
    const int x = rest[0] - '0', y = rest[2] - '0', c = rest[4] - '0';
    const int sum = std::stoi(rest.substr(6, 2));
    CHECK(x == static_cast<int>(a % 10));
    CHECK(y == static_cast<int>(b % 10));
    CHECK(c == carry);  // a wrong sum is carried on
    CHECK(sum >= 0);
    CHECK(sum <= 19);
    ++columns.count;
    columns.wrong += sum != x + y + c;
    ++columns.by_error[sum - (x + y + c)];
    columns.answer.insert(0, 1, static_cast<char>('0' + sum % 10));
    carry = sum / 10;
  }
  columns.answer.insert(0, 1, static_cast<char>('0' + carry));
  return columns;
}

}  // namespace

TEST_CASE("a clean corpus holds the worked solution of every prompt") {
  const auto corpus = addition_corpus({2, 3, 3}, kOnlyWork, 4);
  int threes = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto document = corpus->next();
    REQUIRE(document.response == problem_of(document.prompt).worked_response());
    threes += document.prompt.size() == 8;
  }
  CHECK(threes > 1897);  // 2000 +- 4 standard errors
  CHECK(threes < 2103);
}

TEST_CASE("held-out problems never occur in a corpus or a probe") {
  const auto corpus = addition_corpus({2, 3}, kWeb, 11);
  for (int i = 0; i < 10'000; ++i) REQUIRE_FALSE(held_out(corpus->next().prompt));
  for (const auto& document : addition_probe(2, 1000, 5)) REQUIRE_FALSE(held_out(document.prompt));
}

TEST_CASE("styles have the shares of the mix") {
  const auto corpus = addition_corpus({2, 3}, kWeb, 2);
  std::map<std::string, int> styles;
  for (int i = 0; i < 10'000; ++i) ++styles[style_of(corpus->next())];
  CHECK(std::abs(styles["bare"] - 1200) < 130);  // 4 standard errors
  CHECK(std::abs(styles["broken"] - 1200) < 130);
  CHECK(std::abs(styles["direct"] - 3800) < 195);
  CHECK(std::abs(styles["work"] - 3800) < 195);
}

TEST_CASE("a style with no share is never drawn") {
  const auto corpus = addition_corpus({2}, {.bare = 0.1, .direct = 0.9, .work = 0}, 8);
  for (int i = 0; i < 5000; ++i) {
    const auto style = style_of(corpus->next());
    REQUIRE(style != "work");
    REQUIRE(style != "broken");
  }
}

TEST_CASE("broken documents have one of four defects with equal odds") {
  const auto corpus = addition_corpus({2, 3}, {.work = 0, .broken = 1}, 6);
  std::map<std::string, int> defects;
  for (int i = 0; i < 4000; ++i) {
    const auto document = corpus->next();
    const auto problem = problem_of(document.prompt);
    const std::string steps = problem.work(), answer = problem.answer();
    const std::map<std::string, std::string> forms = {
        {"no <think>", steps + "</think><answer>" + answer + "</answer>"},
        {"no answer tags", "<think>" + steps + "</think>" + answer},
        {"no </think>", "<think>" + steps + "<answer>" + answer + "</answer>"},
        {"no </answer>", "<think>" + steps + "</think><answer>" + answer}};
    for (const auto& [name, text] : forms) defects[name] += document.response == text;
  }
  int all = 0;
  for (const auto& [name, count] : defects) {
    CHECK(std::abs(count - 1000) < 110);  // 4 standard errors
    all += count;
  }
  CHECK(all == 4000);
}

TEST_CASE("a wrong column is off by one or two and carried on into the answer") {
  auto mix = kOnlyWork;
  mix.step_error = 0.1;
  const auto corpus = addition_corpus({3}, mix, 9);
  int columns = 0, wrong = 0, wrong_answers = 0;
  std::map<int, int> by_error;
  for (int i = 0; i < 4000; ++i) {
    const auto document = corpus->next();
    const auto problem = problem_of(document.prompt);
    const auto read = follow(problem, between(document.response, "<think>", "</think>"));
    const auto answer = between(document.response, "<answer>", "</answer>");
    REQUIRE(answer == read.answer);
    columns += read.count;
    wrong += read.wrong;
    wrong_answers += answer != problem.answer();
    for (const auto& [error, count] : read.by_error) by_error[error] += count;
  }
  CHECK(columns == 12'000);
  CHECK(std::abs(wrong - 1195) < 135);  // 10 %, less where the clamp undoes an error
  CHECK(wrong_answers > 900);
  CHECK(by_error.size() == 5);
  for (const int error : {-2, -1, 1, 2}) CHECK(std::abs(by_error[error] - 300) < 75);
}

TEST_CASE("with certain step errors every sum stays in 0 to 19") {
  auto mix = kOnlyWork;
  mix.step_error = 1;
  const auto corpus = addition_corpus({1, 2}, mix, 10);
  for (int i = 0; i < 2000; ++i) {
    const auto document = corpus->next();
    follow(problem_of(document.prompt), between(document.response, "<think>", "</think>"));
  }
}

TEST_CASE("digits of a guess are off by one modulo ten at the given rate") {
  for (const bool tagged_guess : {false, true}) {
    AdditionMix mix{.work = 0};
    (tagged_guess ? mix.direct : mix.bare) = 1;
    const auto corpus = addition_corpus({3}, mix, 12);
    std::map<int, int> by_error;
    for (int i = 0; i < 4000; ++i) {
      const auto document = corpus->next();
      const auto right = problem_of(document.prompt).answer();
      const auto given =
          tagged_guess ? between(document.response, "<answer>", "</answer>") : document.response;
      REQUIRE(given.size() == 4);
      for (std::size_t k = 0; k < 4; ++k) ++by_error[(given[k] - right[k] + 10) % 10];
    }
    CHECK(by_error.size() == 3);
    CHECK(std::abs(by_error[0] - 13'600) < 181);  // 4 standard errors
    CHECK(std::abs(by_error[1] - 1200) < 134);
    CHECK(std::abs(by_error[9] - 1200) < 134);
  }
}

TEST_CASE("a seed gives the same corpus and another seed another one") {
  const auto first = addition_corpus({2, 3}, kWeb, 0);
  const auto again = addition_corpus({2, 3}, kWeb, 0);
  const auto other = addition_corpus({2, 3}, kWeb, 1);
  int equal = 0;
  for (int i = 0; i < 200; ++i) {
    const auto document = first->next();
    const auto same = again->next();
    REQUIRE(document.prompt == same.prompt);
    REQUIRE(document.response == same.response);
    equal += document.prompt == other->next().prompt;
  }
  CHECK(equal < 10);
}

TEST_CASE("the probe has clean worked documents of one length") {
  const auto probe = addition_probe(3, 128, 21);
  REQUIRE(probe.size() == 128);
  std::set<std::string> prompts;
  for (const auto& document : probe) {
    CHECK(document.prompt.size() == 8);
    CHECK(document.response == problem_of(document.prompt).worked_response());
    prompts.insert(document.prompt);
  }
  CHECK(prompts.size() > 120);
  CHECK(addition_probe(3, 1, 21)[0].prompt == probe[0].prompt);
}

TEST_CASE("a mix that does not add up is refused") {
  const std::string message =
      "addition mix: shares and chances must be in 0 .. 1, and bare, direct, work and broken must "
      "add up to 1";
  for (const AdditionMix& mix :
       {AdditionMix{.work = 0.9}, AdditionMix{.direct = 0.5},
        AdditionMix{.bare = -0.5, .work = 1.5}, AdditionMix{.step_error = 1.5},
        AdditionMix{.answer_error = -0.1}}) {
    CHECK(message_of([&] { addition_corpus({2}, mix, 0); }) == message);
  }
}
