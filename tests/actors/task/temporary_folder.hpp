#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

namespace troupe {

/// An empty folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe-task-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder: " + name);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string contents(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// What `action` throws, with `folder`/ left out; empty if it throws nothing.
template <typename Action>
std::string message_of(const Action& action, const std::filesystem::path& folder = {}) {
  std::string text;
  try {
    action();
  } catch (const std::exception& error) {
    text = error.what();
  }
  const std::string prefix = folder.string() + '/';
  for (auto at = text.find(prefix); at != std::string::npos && prefix.size() > 1;) {
    text.erase(at, prefix.size());
    at = text.find(prefix);
  }
  return text;
}

}  // namespace troupe
