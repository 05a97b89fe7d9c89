#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace troupe::gpu {

/// A file that appears whole or not at all. What is written goes to a temporary file beside it;
/// commit() syncs that, renames it to `file` and syncs the folder: a reader sees the old content or
/// the new, also after a crash. Without commit() nothing is left. The folder must exist.
///
/// Errors: throws gpu::Error naming the file and the remedy. Used by one thread at a time.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path file);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);
  [[noreturn]] void refuse(const std::string& why) const;
  [[noreturn]] void refuse_by_errno() const;

  std::filesystem::path file_, temporary_;
  std::string buffered_;  // small writes are gathered
  int fd_ = -1;
};

/// The whole content at once.
void write_atomically(const std::filesystem::path& file, std::string_view text);

}  // namespace troupe::gpu
