#pragma once
// Random problems of the addition task. Which stream of a seed serves what is fixed here, once, so
// that no two purposes share draws and a seed means the same on every machine.
#include "actors/task/task.hpp"
#include "gpu/sampling/philox.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

// "task" in ASCII above, the purpose below: far from rollout ids, which count up from 0.
inline constexpr std::uint64_t kPromptStream = 0x7461736b'00000001;
inline constexpr std::uint64_t kHeldOutStream = 0x7461736b'00000002;
inline constexpr std::uint64_t kCorpusStream = 0x7461736b'00000003;
inline constexpr std::uint64_t kProbeStream = 0x7461736b'00000004;
inline constexpr std::uint64_t kShuffleStream = 0x7461736b'00000005;

/// Throws std::invalid_argument unless there is a length and all are in 1 .. kMostDigits.
void check_digits(const std::vector<std::int32_t>& digits);

/// A problem with uniform operands that is held out, or one that is not.
AdditionProblem draw_problem(gpu::PhiloxStream& random, std::int32_t digits, bool held_out_one);
/// The length drawn from `digits` first.
AdditionProblem draw_training_problem(gpu::PhiloxStream& random,
                                      const std::vector<std::int32_t>& digits);

/// A solution column by column, from the right.
struct Scratchpad {
  std::string steps;   // "8+5+0=13;7+6+1=14;4+3+1=08"
  std::string answer;  // what the steps arrive at
};

/// `error(sum)` gives the sum to write, in 0 .. 19; what it gets wrong is carried on.
template <typename Error>
Scratchpad solve(const AdditionProblem& problem, Error error) {
  Scratchpad pad;
  std::uint64_t a = problem.a, b = problem.b;
  int carry = 0;
  for (std::int32_t column = 0; column < problem.digits; ++column, a /= 10, b /= 10) {
    const int x = static_cast<int>(a % 10), y = static_cast<int>(b % 10);
    const int sum = error(x + y + carry);
    if (column > 0) pad.steps += ';';
    pad.steps += std::to_string(x) + '+' + std::to_string(y) + '+' + std::to_string(carry) + '=';
    pad.steps += std::to_string(sum / 10) + std::to_string(sum % 10);
    pad.answer.insert(pad.answer.begin(), static_cast<char>('0' + sum % 10));
    carry = sum / 10;
  }
  pad.answer.insert(pad.answer.begin(), static_cast<char>('0' + carry));
  return pad;
}

/// "<think>steps</think><answer>answer</answer>"
std::string tagged(const std::string& steps, const std::string& answer);

}  // namespace troupe
