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

std::vector<DataRow> letters(std::size_t count) {
  std::vector<DataRow> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string letter(1, static_cast<char>('a' + i));
    rows.push_back({.prompt = letter, .answer = letter + "!", .response = letter + letter});
  }
  return rows;
}

std::string take(PromptSource& prompts, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += prompts.next().text;
  return text;
}

}  // namespace

TEST_CASE("rows come in order and again from the start") {
  const auto prompts = jsonl_prompts(letters(3), false, 1);
  CHECK(take(*prompts, 7) == "abcabca");
  CHECK(prompts->next().uid == make_prompt("b").uid);
}

TEST_CASE("shuffled passes hold every row once in another order each") {
  const auto prompts = jsonl_prompts(letters(20), true, 1);
  const auto again = jsonl_prompts(letters(20), true, 1);
  const auto other = jsonl_prompts(letters(20), true, 2);
  std::set<std::string> orders;
  for (int pass = 0; pass < 5; ++pass) {
    auto order = take(*prompts, 20);
    CHECK(order == take(*again, 20));
    CHECK(order != take(*other, 20));
    orders.insert(order);
    std::sort(order.begin(), order.end());
    CHECK(order == "abcdefghijklmnopqrst");
  }
  CHECK(orders.size() == 5);
}

TEST_CASE("every order of a shuffled pass is equally likely") {
  const auto prompts = jsonl_prompts(letters(3), true, 3);
  std::map<std::string, int> orders;
  for (int pass = 0; pass < 6000; ++pass) ++orders[take(*prompts, 3)];
  CHECK(orders.size() == 6);
  for (const auto& [order, count] : orders) CHECK(std::abs(count - 1000) < 120);
}

TEST_CASE("documents come from prompt and response in the same manner") {
  const auto corpus = jsonl_corpus(letters(2), false, 1);
  const auto first = corpus->next();
  CHECK(first.prompt == "a");
  CHECK(first.response == "aa");
  CHECK(corpus->next().response == "bb");
  CHECK(corpus->next().response == "aa");
}

TEST_CASE("answers are found by prompt and rows without one are unknown") {
  auto rows = letters(2);
  rows[1].answer.clear();
  const auto key = jsonl_answers(rows);
  CHECK(key->answer("a") == "a!");
  CHECK_FALSE(key->answer("b").has_value());
  CHECK_FALSE(key->answer("").has_value());
}

TEST_CASE("sources without rows are refused") {
  CHECK_THROWS_AS(jsonl_prompts({}, false, 0), std::invalid_argument);
  CHECK(message_of([] { jsonl_corpus({}, true, 0); }) == "jsonl: no rows to draw from");
}
