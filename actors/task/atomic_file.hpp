#pragma once
// A file that appears whole or not at all.
#include <filesystem>
#include <fstream>
#include <string_view>

namespace troupe {

/// Collects text in `<path>.partial`; commit() renames it to `path`. Without commit() nothing is
/// left. Errors: throws std::runtime_error naming the file. Used by one thread at a time.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  void commit();

 private:
  std::filesystem::path path_, partial_;
  std::ofstream stream_;
};

}  // namespace troupe
