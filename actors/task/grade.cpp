#include "actors/task/task.hpp"

#include <optional>

namespace troupe {
namespace {

// A hand parser for ^<think>([^<]*)</think><answer>([^<]*)</answer><eos>$: std::regex recurses per
// character, so a long response would overflow the stack.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool literal(std::string_view wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }

  /// [^<]*
  std::string_view up_to_tag() {
    const std::string_view text = rest_.substr(0, rest_.find('<'));
    rest_.remove_prefix(text.size());
    return text;
  }

  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// What stands between the answer tags; nullopt if the response does not have the format.
std::optional<std::string_view> given_answer(std::string_view response) {
  Scanner scanner(response);
  if (!scanner.literal("<think>")) return std::nullopt;
  scanner.up_to_tag();
  if (!scanner.literal("</think><answer>")) return std::nullopt;
  const std::string_view answer = scanner.up_to_tag();
  if (!scanner.literal("</answer><eos>") || !scanner.at_end()) return std::nullopt;
  return answer;
}

}  // namespace

Grade grade(const AnswerKey& key, const RewardWeights& weights, const std::string& prompt_text,
            std::string_view response) {
  const auto wanted = key.answer(prompt_text);
  if (!wanted) return {.reason = "unknown prompt"};
  const auto given = given_answer(response);
  if (!given) return {.outcome = Outcome::fail, .reason = "format"};
  if (given->empty() || *given != *wanted) {
    return {
        .outcome = Outcome::fail, .format = 1, .reward = weights.format, .reason = "wrong answer"};
  }
  return {.outcome = Outcome::pass,
          .accuracy = 1,
          .format = 1,
          .reward = weights.accuracy + weights.format};
}

}  // namespace troupe
