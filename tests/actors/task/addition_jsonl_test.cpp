#include "actors/task/task.hpp"
#include "tests/actors/task/temporary_folder.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;

TEST_CASE("prompts from a written file are those of the built-in task") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "new" / "train.jsonl";
  write_addition_jsonl(file, {2, 3, 3}, 2000, 42, false);
  const auto rows = read_jsonl(file, true, false);
  const auto from_file = jsonl_prompts(rows, false, 42);
  const auto built_in = addition_prompts({2, 3, 3}, 42);
  const auto file_key = jsonl_answers(rows);
  const auto built_in_key = addition_answers();
  REQUIRE(rows.size() == 2000);
  for (int i = 0; i < 2000; ++i) {
    const auto read = from_file->next();
    const auto drawn = built_in->next();
    REQUIRE(read.text == drawn.text);
    REQUIRE(read.uid == drawn.uid);
    REQUIRE(file_key->answer(read.text) == built_in_key->answer(read.text));
  }
}

TEST_CASE("written rows have prompt then answer then meta") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "one.jsonl";
  write_addition_jsonl(file, {3}, 1, 5, false);
  const auto prompt = addition_prompts({3}, 5)->next().text;
  CHECK(contents(file) == "{\"prompt\":\"" + prompt + "\",\"answer\":\"" +
                              addition_answers()->answer(prompt).value() +
                              "\",\"meta\":{\"digits\":3}}\n");
  CHECK(read_jsonl(file, true, false)[0].meta == "{\"digits\":3}");
}

TEST_CASE("held-out rows are the held-out problems in order") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "held-out.jsonl";
  write_addition_jsonl(file, {2, 3}, 384, 99, true);
  const auto rows = read_jsonl(file, true, false);
  const auto problems = addition_held_out({2, 3}, 384, 99);
  REQUIRE(rows.size() == problems.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    REQUIRE(rows[i].prompt == problems[i].prompt());
    REQUIRE(rows[i].answer == problems[i].answer());
  }
}

TEST_CASE("a file that cannot be written is refused and leaves nothing behind") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "data.jsonl";
  CHECK(message_of([&] { write_addition_jsonl(file, {2}, 0, 0, false); }) ==
        "addition data: count must be at least 1");
  CHECK_THROWS_AS(write_addition_jsonl(file, {}, 1, 0, false), std::invalid_argument);
  CHECK(std::filesystem::is_empty(folder.path()));
  std::filesystem::create_directory(file);
  CHECK(message_of([&] { write_addition_jsonl(file, {2}, 1, 0, false); }, folder.path())
            .starts_with("data.jsonl: cannot be written: "));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "data.jsonl.partial"));
}
