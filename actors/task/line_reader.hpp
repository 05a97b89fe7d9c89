#pragma once
// Lines of a text file of any size, with a bound on the memory one line takes.
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe {

/// Reads line by line; the ends "\n" and "\r\n" and a leading byte order mark are left out.
/// Errors: throws std::runtime_error naming the file if it cannot be opened or read. Used by one
/// thread at a time.
class LineReader {
 public:
  static constexpr std::size_t kLongestLine = 16u << 20;  // bytes

  explicit LineReader(const std::filesystem::path& file);

  /// False at the end of the file.
  bool next();
  /// Cut after kLongestLine bytes; too_long() is then true.
  const std::string& text() const { return text_; }
  std::size_t number() const { return number_; }  // from 1
  bool too_long() const { return too_long_; }

 private:
  bool fill();
  void append(std::size_t end);
  void trim();

  std::filesystem::path file_;
  std::ifstream stream_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of buffer_ is not consumed
  std::string text_;
  std::size_t number_ = 0;
  bool too_long_ = false;
};

}  // namespace troupe
