#include "actors/task/tokenizer.hpp"

#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <random>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;
using Ids = std::vector<std::int32_t>;

TEST_CASE("the arithmetic vocabulary has 26 tokens with the specials first") {
  const auto tokenizer = Tokenizer::arithmetic();
  CHECK(tokenizer.size() == 26);
  CHECK(tokenizer.pad() == 0);
  CHECK(tokenizer.bos() == 1);
  CHECK(tokenizer.eos() == 2);
  CHECK(tokenizer.id("</answer>") == 6);
  CHECK(tokenizer.id("0") == 7);
  CHECK(tokenizer.id("?") == 25);
  CHECK(tokenizer.tokens()[24] == " ");
}

TEST_CASE("text is encoded one token per character and special token") {
  const auto tokenizer = Tokenizer::arithmetic();
  CHECK(tokenizer.encode("") == Ids{});
  CHECK(tokenizer.encode("478+365=") == Ids{11, 14, 15, 17, 10, 13, 12, 20});
  CHECK(tokenizer.encode("<bos>1<think></think><answer>0 </answer><eos>") ==
        Ids{1, 8, 3, 4, 5, 7, 24, 6, 2});
}

TEST_CASE("decode gives back what encode took") {
  const auto tokenizer = Tokenizer::arithmetic();
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    Ids ids(random() % 50);
    for (auto& id : ids) id = static_cast<std::int32_t>(random() % 26);
    const std::string text = tokenizer.decode(ids);
    CHECK(tokenizer.encode(text) == ids);
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
}

TEST_CASE("an unknown character is refused with its place in characters") {
  const auto tokenizer = Tokenizer::arithmetic();
  const auto message = [&](std::string_view text) {
    const auto thrown = message_of([&] { tokenizer.encode(text); });
    CHECK(thrown == "tokenizer: " + tokenizer.problem(text).value());
    return thrown;
  };
  CHECK(message("12x4=") == "tokenizer: \"x\" (U+0078) at character 3 is not in the vocabulary");
  CHECK(message("1\xC3\xA9\xE2\x82\xAC") ==
        "tokenizer: \"\xC3\xA9\" (U+00E9) at character 2 is not in the vocabulary");
  CHECK(message("<thin>") == "tokenizer: \"<\" (U+003C) at character 1 is not in the vocabulary");
  CHECK(message("12\xFF") == "tokenizer: byte 0xFF at character 3 is not UTF-8");
  CHECK(message(std::string_view("1\0", 2)) ==
        "tokenizer: U+0000 at character 2 is not in the vocabulary");
  CHECK_FALSE(tokenizer.problem("478+365=").has_value());
}

TEST_CASE("an id outside the vocabulary is refused") {
  const auto tokenizer = Tokenizer::arithmetic();
  CHECK(message_of([&] {
          tokenizer.decode(Ids{7, 26});
        }) == "tokenizer: id 26 at place 1 is outside the vocabulary of 26");
  CHECK_THROWS_AS(tokenizer.decode(Ids{-1}), std::runtime_error);
  CHECK(message_of([&] { tokenizer.id("a"); }) == "tokenizer: no token \"a\"");
}
