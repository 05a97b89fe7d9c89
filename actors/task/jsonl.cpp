#include "actors/task/line_problems.hpp"
#include "actors/task/line_reader.hpp"
#include "actors/task/task.hpp"
#include "actors/task/utf8.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace troupe {
namespace {

using Json = nlohmann::json;

constexpr int kDeepestNesting = 64;
constexpr std::array<const char*, 4> kKeys = {"prompt", "answer", "response", "meta"};

// What is wrong with one row, and the remedy.
struct BadRow : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string in_quotes(const char* key) {
  return '"' + std::string(key) + '"';
}

void check_bytes(const LineReader& line) {
  if (line.too_long()) {
    throw BadRow("longer than " + std::to_string(LineReader::kLongestLine >> 20) +
                 " MiB; write one JSON object per line");
  }
  const std::string& text = line.text();
  if (const auto at = text.find('\0'); at != std::string::npos) {
    throw BadRow("NUL byte at byte " + std::to_string(at + 1) + "; save the file as UTF-8 text");
  }
  if (const auto at = first_malformed_byte(text)) {
    throw BadRow("byte " + describe_byte(text[*at]) + " at byte " + std::to_string(*at + 1) +
                 " is not UTF-8; save the file as UTF-8");
  }
}

// Stops the parser at a key given twice and at nesting that nothing sensible has.
class RowWatch {
 public:
  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth > kDeepestNesting) {
      throw BadRow("nested deeper than " + std::to_string(kDeepestNesting) + "; flatten it");
    }
    if (event == Json::parse_event_t::key && depth == 1) count(parsed);
    return true;
  }

 private:
  void count(const Json& key) {
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      if (key == kKeys[i] && seen_[i]++ > 0)
        throw BadRow(in_quotes(kKeys[i]) + " is given twice; keep one");
    }
  }
  std::array<int, kKeys.size()> seen_{};
};

Json parse(const std::string& text) {
  Json row;
  try {
    row = Json::parse(text, [watch = RowWatch()](int depth, Json::parse_event_t event,
                                                 const Json& parsed) mutable {
      return watch(depth, event, parsed);
    });
  } catch (const Json::parse_error& error) {
    throw BadRow("not JSON at byte " + std::to_string(error.byte) +
                 "; write one object per line, such as {\"prompt\": \"1+2=\", \"answer\": \"03\"}");
  } catch (const Json::exception&) {
    throw BadRow("a number is too large; write it as text, in quotes");
  }
  if (!row.is_object()) throw BadRow("not an object; write {\"prompt\": ...}");
  return row;
}

// The text under `key`; empty if absent and not needed.
std::string text_field(const Json& row, const char* key, bool needed) {
  const auto found = row.find(key);
  if (found == row.end()) {
    if (needed) throw BadRow(in_quotes(key) + " is missing; every row needs it");
    return {};
  }
  if (!found->is_string()) {
    throw BadRow(in_quotes(key) + " is of type " + found->type_name() +
                 "; write it as text, in quotes");
  }
  std::string text = found->get<std::string>();
  if (needed && text.empty())
    throw BadRow(in_quotes(key) + " is empty; fill it in or remove the row");
  if (text.find('\0') != std::string::npos) {
    throw BadRow(in_quotes(key) + " holds a NUL character; remove it");
  }
  return text;
}

std::string meta_field(const Json& row) {
  const auto found = row.find("meta");
  if (found == row.end() || found->is_null()) return {};
  if (!found->is_object()) {
    throw BadRow(std::string("\"meta\" is of type ") + found->type_name() +
                 "; write an object, {...}");
  }
  return found->dump();
}

DataRow read_row(const LineReader& line, bool need_answer, bool need_response) {
  check_bytes(line);
  const Json json = parse(line.text());
  DataRow row{.line = line.number()};
  row.prompt = text_field(json, "prompt", true);
  row.answer = text_field(json, "answer", need_answer);
  row.response = text_field(json, "response", need_response);
  row.meta = meta_field(json);
  if (need_answer && row.answer.find('<') != std::string::npos) {
    throw BadRow(
        "\"answer\" holds '<', which no response may have in its answer; write it without");
  }
  return row;
}

// One answer per prompt. Errors: throws BadRow naming the other line.
class AnswersSeen {
 public:
  void check(const DataRow& row) {
    const auto [first, added] = first_.try_emplace(row.prompt, Seen{row.answer, row.line});
    if (added || first->second.answer == row.answer) return;
    throw BadRow("the prompt of line " + std::to_string(first->second.line) +
                 " again, with another answer; keep one of the two");
  }

 private:
  struct Seen {
    std::string answer;
    std::size_t line;
  };
  std::unordered_map<std::string, Seen> first_;
};

bool blank(const LineReader& line) {
  return !line.too_long() && line.text().find_first_not_of(" \t\r") == std::string::npos;
}

}  // namespace

std::vector<DataRow> read_jsonl(const std::filesystem::path& file, bool need_answer,
                                bool need_response) {
  LineReader line(file);
  LineProblems problems(file);
  AnswersSeen answers;
  std::vector<DataRow> rows;
  while (!problems.full() && line.next()) {
    if (blank(line)) continue;
    try {
      rows.push_back(read_row(line, need_answer, need_response));
      if (need_answer) answers.check(rows.back());
    } catch (const BadRow& bad) {
      problems.add(line.number(), bad.what());
    }
  }
  problems.raise();
  if (rows.empty()) {
    throw std::runtime_error(file.string() + ": has no rows; write one JSON object per line");
  }
  return rows;
}

void check_vocabulary(const std::vector<DataRow>& rows, const Tokenizer& tokenizer,
                      const std::filesystem::path& file) {
  constexpr std::array<const char*, 3> kControls = {"<pad>", "<bos>", "<eos>"};
  LineProblems problems(file);
  const auto check = [&](const DataRow& row, const char* key, const std::string& text) {
    if (problems.full()) return;
    for (const char* control : kControls) {
      if (text.find(control) == std::string::npos) continue;
      problems.add(row.line,
                   in_quotes(key) + " holds " + control + ", which is added by itself; remove it");
      return;
    }
    if (const auto unknown = tokenizer.problem(text)) {
      problems.add(row.line, in_quotes(key) + ": " + *unknown +
                                 " of the model; remove it or train a model that knows it");
    }
  };
  for (const DataRow& row : rows) {
    check(row, "prompt", row.prompt);
    check(row, "answer", row.answer);
    check(row, "response", row.response);
  }
  problems.raise();
}

}  // namespace troupe
