#include "actors/task/task.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("actors/task");

using namespace troupe;
using namespace std::string_literals;

namespace {

Grade graded(std::string_view response, const std::string& answer = "0843") {
  const auto key = jsonl_answers({{.prompt = "p", .answer = answer}});
  return grade(*key, {}, "p", response);
}

struct EmptyAnswer : AnswerKey {
  std::optional<std::string> answer(const std::string&) const override { return ""; }
};

}  // namespace

TEST_CASE("a right answer in the right form passes") {
  for (const char* response :
       {"<think>8+5+0=13;7+6+1=14;4+3+1=08</think><answer>0843</answer><eos>",
        "<think></think><answer>0843</answer><eos>",
        "<think>> anything /think> \n</think><answer>0843</answer><eos>"}) {
    CAPTURE(response);
    const auto result = graded(response);
    CHECK(result.outcome == Outcome::pass);
    CHECK(result.accuracy == 1);
    CHECK(result.format == 1);
    CHECK(result.reward == doctest::Approx(1.1));
    CHECK(result.reason.empty());
  }
}

TEST_CASE("a wrong answer in the right form earns the format reward only") {
  for (const char* response :
       {"<think></think><answer>0844</answer><eos>", "<think>0843</think><answer></answer><eos>",
        "<think></think><answer>843</answer><eos>", "<think></think><answer>0843 </answer><eos>",
        "<think></think><answer> 0843</answer><eos>",
        "<think></think><answer>08430843</answer><eos>",
        "<think></think><answer>0843>/answer></answer><eos>"}) {
    CAPTURE(response);
    const auto result = graded(response);
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.accuracy == 0);
    CHECK(result.format == 1);
    CHECK(result.reward == doctest::Approx(0.1));
    CHECK(result.reason == "wrong answer");
  }
}

TEST_CASE("a response in another form earns nothing") {
  for (const char* response :
       {"",
        "0843",
        "0843<eos>",
        "<eos>",
        "<think>",
        "<think></think>",
        "<think></think><answer>0843</answer>",                            // no <eos>
        "<think></think><answer>0843</answer><eos><eos>",                  // text after the end
        "<think></think><answer>0843</answer><eos>\n",                     //
        "<think></think><answer>0843</answer><pad><eos>",                  //
        " <think></think><answer>0843</answer><eos>",                      // text before
        "<bos><think></think><answer>0843</answer><eos>",                  //
        "<think></think> <answer>0843</answer><eos>",                      // text between
        "</think><answer>0843</answer><eos>",                              // no <think>
        "<think><answer>0843</answer><eos>",                               // no </think>
        "<think></think><answer>0843<eos>",                                // no </answer>
        "<think></think>0843<eos>",                                        // no answer tags
        "<think><think></think></think><answer>0843</answer><eos>",        // nested
        "<think></think></think><answer>0843</answer><eos>",               //
        "<think></think><answer><answer>0843</answer></answer><eos>",      //
        "<think>1<2</think><answer>0843</answer><eos>",                    // a '<' inside
        "<think></think><answer><0843</answer><eos>",                      //
        "<think></think><answer>0843</answer><answer>0843</answer><eos>",  // two answers
        "<think></think><answer>0000</answer><eos><think></think><answer>0843</answer><eos>",
        "<answer>0843</answer><think></think><eos>",  // other order
        "<THINK></THINK><answer>0843</answer><eos>"}) {
    CAPTURE(response);
    const auto result = graded(response);
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.accuracy == 0);
    CHECK(result.format == 0);
    CHECK(result.reward == 0);
    CHECK(result.reason == "format");
  }
}

TEST_CASE("NUL characters neither end nor hide text") {
  CHECK(graded("<think>\0</think><answer>0843</answer><eos>"s).outcome == Outcome::pass);
  CHECK(graded("<think></think><answer>0843\0</answer><eos>"s).reason == "wrong answer");
  CHECK(graded("<think></think><answer>0843</answer><eos>\0"s).reason == "format");
}

TEST_CASE("an empty answer is never right") {
  const auto result = grade(EmptyAnswer(), {}, "p", "<think></think><answer></answer><eos>");
  CHECK(result.outcome == Outcome::fail);
  CHECK(result.accuracy == 0);
  CHECK(result.format == 1);
}

TEST_CASE("a response of many megabytes is graded") {
  const std::string megabytes(8u << 20, '>');
  CHECK(graded("<think>" + megabytes + "</think><answer>0843</answer><eos>").outcome ==
        Outcome::pass);
  CHECK(graded("<think></think><answer>" + megabytes + "</answer><eos>").reason == "wrong answer");
  std::string tags;
  while (tags.size() < 1u << 20) tags += "<think>";
  CHECK(graded(tags).reason == "format");
}

TEST_CASE("an unknown prompt is unverifiable and not wrong") {
  const auto key = jsonl_answers({{.prompt = "p", .answer = "1"}});
  const auto result = grade(*key, {}, "q", "<think></think><answer>1</answer><eos>");
  CHECK(result.outcome == Outcome::unverifiable);
  CHECK(result.accuracy == 0);
  CHECK(result.format == 0);
  CHECK(result.reward == 0);
  CHECK(result.reason == "unknown prompt");
}

TEST_CASE("the reward is the weighted sum of accuracy and format") {
  const auto key = addition_answers();
  const RewardWeights weights{.accuracy = 2.0, .format = 0.25};
  CHECK(grade(*key, weights, "478+365=", "<think></think><answer>0843</answer><eos>").reward ==
        2.25);
  CHECK(grade(*key, weights, "478+365=", "<think></think><answer>0842</answer><eos>").reward ==
        0.25);
  CHECK(grade(*key, weights, "478+365=", "0843<eos>").reward == 0);
}

TEST_CASE("every clean worked response passes") {
  const auto key = addition_answers();
  for (const auto& document : addition_probe(3, 200, 1)) {
    CHECK(grade(*key, {}, document.prompt, document.response + "<eos>").outcome == Outcome::pass);
  }
}
