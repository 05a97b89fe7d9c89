#include "actors/task/atomic_file.hpp"

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace troupe {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw std::runtime_error(path.string() + ": cannot be written: " + why);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), partial_(path_) {
  partial_ += ".partial";
  const auto folder = path_.parent_path();
  std::error_code ignored;
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored)) {
    refuse(path_, "the folder does not exist; create " + folder.string());
  }
  stream_.open(partial_, std::ios::binary | std::ios::trunc);
  if (!stream_) refuse(path_, "check the permissions of its folder");
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;  // after commit() there is nothing to remove
  if (stream_.is_open()) std::filesystem::remove(partial_, ignored);
}

void AtomicFile::write(std::string_view text) {
  stream_.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream_) refuse(path_, "check the free space on its disk");
}

void AtomicFile::commit() {
  stream_.flush();
  if (!stream_) refuse(path_, "check the free space on its disk");
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  if (error) refuse(path_, error.message());
  stream_.close();
}

}  // namespace troupe
