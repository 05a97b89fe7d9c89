#pragma once
// Files that are whole or not there, readable by whom they should be; one writer at a time.
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace troupe::pki {

inline constexpr mode_t kPublicFile = 0644, kPrivateFile = 0600, kPrivateDirectory = 0700;

/// Replaces `file` at once, on disk when it returns. Errors: throws Error naming the file.
void write_atomically(const std::filesystem::path& file, std::string_view bytes, mode_t mode);

inline constexpr std::size_t kLongestPem = std::size_t{1} << 20,
                             kLongestList = std::size_t{1} << 26;

/// A regular file. Errors: throws Error naming the file if it is missing, cannot be read, is
/// something else or longer.
std::string read_bounded(const std::filesystem::path& file, std::size_t limit_bytes);

/// Whether others than its owner may read it (or, a directory, write to it). False if missing.
bool open_to_others(const std::filesystem::path& path);

/// Held while an authority's directory is changed; waits for whoever holds it, thread or process.
class DirectoryLock {
 public:
  /// Errors: throws Error if the directory is missing or may not be written to.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace troupe::pki
