#include "actors/task/line_reader.hpp"

#include <algorithm>
#include <stdexcept>
#include <system_error>

namespace troupe {

LineReader::LineReader(const std::filesystem::path& file)
    : file_(file), stream_(file, std::ios::binary), buffer_(1u << 16) {
  std::error_code ignored;  // a path that cannot be looked at cannot be opened either
  if (std::filesystem::is_directory(file, ignored)) {
    throw std::runtime_error(file.string() + ": is a folder; give a .jsonl file");
  }
  if (!stream_) {
    throw std::runtime_error(file.string() + ": cannot be opened; check the path and permissions");
  }
}

bool LineReader::fill() {
  stream_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  begin_ = 0;
  end_ = static_cast<std::size_t>(stream_.gcount());
  if (stream_.bad()) throw std::runtime_error(file_.string() + ": reading failed; check the disk");
  return end_ > 0;
}

// Takes buffer_[begin_ .. end) into the line as far as it may grow.
void LineReader::append(std::size_t end) {
  const std::size_t room = kLongestLine - text_.size();
  const std::size_t size = end - begin_;
  too_long_ = too_long_ || size > room;
  text_.append(buffer_.data() + begin_, std::min(size, room));
  begin_ = end;
}

void LineReader::trim() {
  if (!text_.empty() && text_.back() == '\r') text_.pop_back();
  if (number_ == 1 && text_.starts_with("\xEF\xBB\xBF")) text_.erase(0, 3);
}

bool LineReader::next() {
  text_.clear();
  too_long_ = false;
  bool any = false;
  while (begin_ < end_ || fill()) {
    any = true;
    const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(begin_);
    const auto to = buffer_.begin() + static_cast<std::ptrdiff_t>(end_);
    const auto newline = std::find(from, to, '\n');
    append(static_cast<std::size_t>(newline - buffer_.begin()));
    if (newline == to) continue;
    ++begin_;
    break;
  }
  if (!any) return false;
  ++number_;
  trim();
  return true;
}

}  // namespace troupe
