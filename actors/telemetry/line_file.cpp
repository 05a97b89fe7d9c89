#include "actors/telemetry/line_file.hpp"

#include <utility>

namespace troupe {

LineFile::LineFile(const std::filesystem::path& path) : file_(path, std::ios::trunc) {}

bool LineFile::write(const std::string& line) {
  file_.clear();
  file_ << line << '\n' << std::flush;
  if (file_.good() && file_.is_open()) return true;
  return std::exchange(lost_, true);
}

}  // namespace troupe
