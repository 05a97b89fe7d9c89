#pragma once
// Several bad lines of one file in one message.
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

namespace troupe {

/// Collects "file:line: message" and throws them together.
class LineProblems {
 public:
  static constexpr std::size_t kMost = 10;

  explicit LineProblems(std::filesystem::path file) : file_(std::move(file)) {}

  bool full() const { return count_ >= kMost; }

  void add(std::size_t line, const std::string& message) {
    if (count_++ > 0) text_ += '\n';
    text_ += file_.string() + ':' + std::to_string(line) + ": " + message;
  }

  /// Errors: throws std::runtime_error with everything added, if anything was.
  void raise() const {
    if (count_ == 0) return;
    const char* rest = full() ? "\nmore lines were not checked" : "";
    throw std::runtime_error(text_ + rest);
  }

 private:
  std::filesystem::path file_;
  std::string text_;
  std::size_t count_ = 0;
};

}  // namespace troupe
