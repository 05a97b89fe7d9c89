#pragma once
// What is trained on: prompts, the answers that check them, and documents. No actors, no tensors.
#include "actors/task/tokenizer.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A task's input. The same text has the same uid in every process, wherever it came from.
struct Prompt {
  std::string text;       // without <bos>
  std::uint64_t uid = 0;  // XXH3-64 of text
};
Prompt make_prompt(std::string text);

/// An endless, deterministic sequence of training prompts. Used by one thread at a time.
class PromptSource {
 public:
  virtual ~PromptSource() = default;
  virtual Prompt next() = 0;
};

/// What the verifier compares with. Immutable; safe from any thread.
class AnswerKey {
 public:
  virtual ~AnswerKey() = default;
  /// nullopt if the prompt is not known: the rollout is then unverifiable, never wrong.
  virtual std::optional<std::string> answer(const std::string& prompt_text) const = 0;
};

/// A training document: text without <bos>/<eos>; the prompt part is not a target.
struct TextDocument {
  std::string prompt, response;
};

/// An endless, deterministic sequence of documents. Used by one thread at a time.
class Corpus {
 public:
  virtual ~Corpus() = default;
  virtual TextDocument next() = 0;
};

// --- the built-in task: addition with a column scratchpad (recipe.md section 2) ---

/// Largest length of an operand: the sum of two still fits 64 bits.
inline constexpr std::int32_t kMostDigits = 18;

struct AdditionProblem {
  std::int32_t digits = 0;
  std::uint64_t a = 0, b = 0;           // both below 10^digits
  std::string prompt() const;           // "478+365="
  std::string answer() const;           // digits + 1 digits, zero-padded
  std::string work() const;             // "8+5+0=13;7+6+1=14;4+3+1=08"
  std::string worked_response() const;  // "<think>...</think><answer>...</answer>"
};
/// A problem is held out iff crc32(prompt) % 8 == 0; such a problem is in no corpus and no training
/// prompt.
bool held_out(std::string_view prompt);

/// Share of each style in an addition corpus; they add up to 1. Noise as in recipe.md section 3.
struct AdditionMix {
  double bare = 0, direct = 0, work = 1, broken = 0;
  double step_error = 0;       // chance that a column's sum is off
  double answer_error = 0.15;  // chance that a digit of a bare or direct answer is off
  bool operator==(const AdditionMix&) const = default;
};

/// Errors of all four: throw std::invalid_argument unless every length is in 1 .. kMostDigits and,
/// for the mix, the shares add up to 1 and the chances are in 0 .. 1. A length may repeat to weigh
/// it more ({2, 3, 3}).
std::unique_ptr<PromptSource> addition_prompts(std::vector<std::int32_t> digits,
                                               std::uint64_t seed);
/// `count` held-out problems, digits in turn, each drawn for itself: short ones may repeat. The
/// same for the same seed; a smaller count gives the first of them.
std::vector<AdditionProblem> addition_held_out(const std::vector<std::int32_t>& digits,
                                               std::size_t count, std::uint64_t seed);
std::unique_ptr<Corpus> addition_corpus(std::vector<std::int32_t> digits, AdditionMix mix,
                                        std::uint64_t seed);
/// Clean worked documents of one length, never held out: the gate's probe.
std::vector<TextDocument> addition_probe(std::int32_t digits, std::size_t count,
                                         std::uint64_t seed);
/// Knows every prompt of the form "478+365=" with operands of one length.
std::unique_ptr<AnswerKey> addition_answers();

// --- JSONL files: {"prompt": "...", "answer": "...", "meta": {...}}
//               or {"prompt": "...", "response": "..."} ---

struct DataRow {
  std::string prompt, answer, response;
  std::string meta;  // JSON text, may be empty
  std::size_t line = 0;
};
/// Reads all rows; blank lines and a byte order mark are skipped, unknown keys ignored.
/// need_answer / need_response: the field every row must have. With need_answer a prompt has one
/// answer. Errors: throws std::runtime_error with file, line and remedy; reports up to 10 bad lines
/// at once.
std::vector<DataRow> read_jsonl(const std::filesystem::path& file, bool need_answer,
                                bool need_response);

/// Refuses rows that the model can neither read nor write: characters outside the vocabulary in
/// prompt, answer or response, and <pad>, <bos> or <eos>, which Troupe adds itself. Errors: throws
/// std::runtime_error with file, line and remedy; reports up to 10 bad lines at once.
void check_vocabulary(const std::vector<DataRow>& rows, const Tokenizer& tokenizer,
                      const std::filesystem::path& file);

/// Rows in order, again from the start at the end; shuffled anew each pass (by seed) if `shuffle`.
/// Errors of these two: throw std::invalid_argument if there are no rows.
std::unique_ptr<PromptSource> jsonl_prompts(std::vector<DataRow> rows, bool shuffle,
                                            std::uint64_t seed);
std::unique_ptr<Corpus> jsonl_corpus(std::vector<DataRow> rows, bool shuffle, std::uint64_t seed);
/// Rows without an answer are not known.
std::unique_ptr<AnswerKey> jsonl_answers(const std::vector<DataRow>& rows);

/// `troupe data addition`: writes `count` rows {"prompt","answer","meta":{"digits":..}} such that
/// jsonl_prompts over them gives the prompts of addition_prompts(digits, seed); held_out_rows: of
/// addition_held_out instead. Makes the folder, writes beside and renames. Errors: throws
/// std::runtime_error if the file cannot be written, std::invalid_argument if count is 0.
void write_addition_jsonl(const std::filesystem::path& file,
                          const std::vector<std::int32_t>& digits, std::size_t count,
                          std::uint64_t seed, bool held_out_rows);

// --- grading ---

enum class Outcome { pass, fail, unverifiable };

struct Grade {
  Outcome outcome = Outcome::unverifiable;
  double accuracy = 0;  // 0 or 1
  double format = 0;    // 0 or 1
  double reward = 0;    // weighted sum
  std::string reason;   // "unknown prompt", "format" or "wrong answer"; empty if passed; for people
};

struct RewardWeights {
  double accuracy = 1.0, format = 0.1;
};

/// Rule rewards of R1-Zero (arXiv:2501.12948, 2.2.2):
///   format    the whole decoded response, <eos> included, matches
///             ^<think>([^<]*)</think><answer>([^<]*)</answer><eos>$
///   accuracy  format, and group 2 is the answer; an empty answer is never right
/// Pure; linear in the length. An unknown prompt gives unverifiable.
Grade grade(const AnswerKey& key, const RewardWeights& weights, const std::string& prompt_text,
            std::string_view response);

}  // namespace troupe
