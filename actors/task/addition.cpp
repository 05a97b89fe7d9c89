#include "actors/task/addition_draws.hpp"
#include "actors/task/task.hpp"

#include <xxhash.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <zlib.h>

namespace troupe {
namespace {

std::uint64_t power_of_ten(std::int32_t exponent) {
  std::uint64_t power = 1;
  for (; exponent > 0; --exponent) power *= 10;
  return power;
}

std::string padded(std::uint64_t value, std::int32_t width) {
  const std::string text = std::to_string(value);
  const auto wanted = static_cast<std::size_t>(width);
  return std::string(wanted - std::min(wanted, text.size()), '0') + text;
}

class AdditionPrompts : public PromptSource {
 public:
  AdditionPrompts(std::vector<std::int32_t> digits, std::uint64_t seed)
      : digits_(std::move(digits)), random_(seed, kPromptStream) {
    check_digits(digits_);
  }
  Prompt next() override { return make_prompt(draw_training_problem(random_, digits_).prompt()); }

 private:
  std::vector<std::int32_t> digits_;
  gpu::PhiloxStream random_;
};

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "478+365=", both operands of one length.
std::optional<AdditionProblem> parse_problem(std::string_view text) {
  const std::size_t digits = text.find('+');
  if (digits == 0 || digits > kMostDigits) return std::nullopt;
  if (text.size() != 2 * digits + 2 || text.back() != '=') return std::nullopt;
  const std::string a(text.substr(0, digits)), b(text.substr(digits + 1, digits));
  if (!all_digits(a) || !all_digits(b)) return std::nullopt;
  return AdditionProblem{static_cast<std::int32_t>(digits), std::stoull(a), std::stoull(b)};
}

class AdditionAnswers : public AnswerKey {
 public:
  std::optional<std::string> answer(const std::string& prompt_text) const override {
    const auto problem = parse_problem(prompt_text);
    if (!problem) return std::nullopt;
    return problem->answer();
  }
};

}  // namespace

Prompt make_prompt(std::string text) {
  const std::uint64_t uid = XXH3_64bits(text.data(), text.size());
  return {std::move(text), uid};
}

std::string AdditionProblem::prompt() const {
  return padded(a, digits) + '+' + padded(b, digits) + '=';
}

std::string AdditionProblem::answer() const {
  return padded(a + b, digits + 1);
}

std::string AdditionProblem::work() const {
  return solve(*this, [](int sum) { return sum; }).steps;
}

std::string AdditionProblem::worked_response() const {
  return tagged(work(), answer());
}

bool held_out(std::string_view prompt) {
  const auto* bytes = reinterpret_cast<const Bytef*>(prompt.data());
  return crc32_z(0, bytes, prompt.size()) % 8 == 0;
}

void check_digits(const std::vector<std::int32_t>& digits) {
  const bool good = std::all_of(digits.begin(), digits.end(), [](std::int32_t length) {
    return length >= 1 && length <= kMostDigits;
  });
  if (good && !digits.empty()) return;
  throw std::invalid_argument("addition: digits must be one or more lengths in 1 .. " +
                              std::to_string(kMostDigits));
}

AdditionProblem draw_problem(gpu::PhiloxStream& random, std::int32_t digits, bool held_out_one) {
  const std::uint64_t bound = power_of_ten(digits);
  while (true) {
    AdditionProblem problem{.digits = digits};
    problem.a = random.below(bound);
    problem.b = random.below(bound);
    if (held_out(problem.prompt()) == held_out_one) return problem;
  }
}

AdditionProblem draw_training_problem(gpu::PhiloxStream& random,
                                      const std::vector<std::int32_t>& digits) {
  const std::int32_t length = digits[random.below(digits.size())];
  return draw_problem(random, length, false);
}

std::string tagged(const std::string& steps, const std::string& answer) {
  return "<think>" + steps + "</think><answer>" + answer + "</answer>";
}

std::unique_ptr<PromptSource> addition_prompts(std::vector<std::int32_t> digits,
                                               std::uint64_t seed) {
  return std::make_unique<AdditionPrompts>(std::move(digits), seed);
}

std::vector<AdditionProblem> addition_held_out(const std::vector<std::int32_t>& digits,
                                               std::size_t count, std::uint64_t seed) {
  check_digits(digits);
  gpu::PhiloxStream random(seed, kHeldOutStream);
  std::vector<AdditionProblem> problems;
  for (std::size_t i = 0; i < count; ++i) {
    problems.push_back(draw_problem(random, digits[i % digits.size()], true));
  }
  return problems;
}

std::unique_ptr<AnswerKey> addition_answers() {
  return std::make_unique<AdditionAnswers>();
}

}  // namespace troupe
