#include "messages/pki/files.hpp"

#include "messages/pki/error.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe::pki {
namespace {

std::string reason(int code) {
  std::string text = std::strerror(code);
  if (code == ENOENT) return text + "; check the path";
  if (code == EACCES || code == EPERM) return text + "; run as its owner or change its mode";
  if (code == EROFS) return text + "; use a directory on a writable disk";
  if (code == ENOSPC || code == EDQUOT) return text + "; free some space";
  return text;
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

/// Both give whether it worked; if not, errno says why.
bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool complete(int descriptor, const std::string& partial, const std::filesystem::path& file,
              std::string_view bytes, mode_t mode) {
  return write_all(descriptor, bytes) && ::fchmod(descriptor, mode) == 0 &&
         ::fsync(descriptor) == 0 && ::rename(partial.c_str(), file.c_str()) == 0;
}

}  // namespace

void write_atomically(const std::filesystem::path& file, std::string_view bytes, mode_t mode) {
  std::string partial = file.string() + ".XXXXXX";
  const Descriptor out(::mkostemp(partial.data(), O_CLOEXEC));  // readable by the owner alone
  if (out.get() < 0) throw Error(file, "cannot be written: " + reason(errno));
  if (!complete(out.get(), partial, file, bytes, mode)) {
    const int code = errno;
    ::unlink(partial.c_str());
    throw Error(file, "cannot be written: " + reason(code));
  }
  const auto folder = file.has_parent_path() ? file.parent_path() : ".";
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

std::string read_bounded(const std::filesystem::path& file, std::size_t limit_bytes) {
  // Not blocking: a named pipe must not hold us up before it is refused.
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (in.get() < 0) throw Error(file, "cannot be read: " + reason(errno));
  struct stat status = {};
  if (::fstat(in.get(), &status) != 0) throw Error(file, "cannot be read: " + reason(errno));
  if (!S_ISREG(status.st_mode)) throw Error(file, "is not a regular file; check the path");
  if (static_cast<std::size_t>(status.st_size) > limit_bytes)
    throw Error(file, "is longer than the " + std::to_string(limit_bytes) +
                          " bytes such a file may have; check the path");
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(in.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(file, "cannot be read: " + reason(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

bool open_to_others(const std::filesystem::path& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return false;
  return (status.st_mode & (S_ISDIR(status.st_mode) ? 0022 : 0077)) != 0;
}

DirectoryLock::DirectoryLock(const std::filesystem::path& directory)
    : descriptor_(
          ::open((directory / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kPrivateFile)) {
  if (descriptor_ < 0) throw Error(directory, "cannot be changed: " + reason(errno));
  while (::flock(descriptor_, LOCK_EX) != 0)
    if (errno != EINTR) {
      const int code = errno;
      ::close(descriptor_);
      throw Error(directory, "cannot be locked: " + reason(code));
    }
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

}  // namespace troupe::pki
