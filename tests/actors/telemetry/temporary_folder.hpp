#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdlib.h>
#include <string>

namespace troupe {

/// A folder of its own for a test, removed with it.
struct TemporaryFolder {
  std::filesystem::path path;

  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "troupe-telemetry-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string read(const char* file) const {
    std::ifstream stream(path / file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
};

}  // namespace troupe
