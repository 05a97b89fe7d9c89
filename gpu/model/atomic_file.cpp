#include "gpu/model/atomic_file.hpp"

#include "gpu/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr std::size_t kBuffer = std::size_t{64} << 10;

const char* remedy(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "; free space on its disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; check the permissions of its folder";
    default:
      return "";
  }
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path file)
    : file_(std::move(file)), temporary_(file_.string() + ".partial-" + std::to_string(getpid())) {
  const auto folder = file_.parent_path();
  std::error_code ignored;
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    refuse("the folder does not exist; create " + folder.string());
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) refuse_by_errno();
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;  // committed
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::refuse(const std::string& why) const {
  throw Error(file_.string() + ": cannot be written: " + why);
}

void AtomicFile::refuse_by_errno() const {
  const int code = errno;
  refuse(std::strerror(code) + std::string(remedy(code)));
}

void AtomicFile::write_through(std::span<const std::byte> bytes) {
  constexpr std::size_t kChunk = std::size_t{1} << 30;  // one write() takes at most 2 GiB
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), std::min(bytes.size(), kChunk));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse_by_errno();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::flush() {
  write_through(std::as_bytes(std::span(buffered_)));
  buffered_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffered_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() > kBuffer) return write_through(bytes);
  buffered_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void AtomicFile::commit() {
  flush();
  if (::fsync(fd_) != 0) refuse_by_errno();
  if (::rename(temporary_.c_str(), file_.c_str()) != 0) refuse_by_errno();
  ::close(std::exchange(fd_, -1));
  const auto folder = file_.has_parent_path() ? file_.parent_path() : std::filesystem::path(".");
  const int parent = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) refuse_by_errno();
  const int synced = ::fsync(parent);
  ::close(parent);
  if (synced != 0) refuse_by_errno();
}

void write_atomically(const std::filesystem::path& file, std::string_view text) {
  AtomicFile out(file);
  out.write(text);
  out.commit();
}

}  // namespace troupe::gpu
