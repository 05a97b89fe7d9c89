#pragma once
// What metrics.jsonl and lineage.jsonl are written with.
#include <filesystem>
#include <fstream>
#include <string>

namespace troupe {

/// A file of lines, each on disk when write() returns. Used under its owner's lock.
class LineFile {
 public:
  /// Replaces the file. A failure shows at the first write.
  explicit LineFile(const std::filesystem::path& path);
  /// False the first time that a line is lost (full disk, missing folder); true otherwise, so that
  /// a loss is reported once. Goes on trying.
  bool write(const std::string& line);

 private:
  std::ofstream file_;
  bool lost_ = false;
};

}  // namespace troupe
