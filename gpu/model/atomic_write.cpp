#include "gpu/model/atomic_write.hpp"

#include "gpu/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace troupe::gpu {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const char* what) {
  throw Error("cannot " + std::string(what) + " " + file.string() + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  Descriptor(const fs::path& file, int flags, const char* what)
      : fd_(::open(file.c_str(), flags, 0644)) {
    if (fd_ < 0) fail(file, what);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, std::span<const std::byte> bytes, const fs::path& file) {
  constexpr std::size_t kChunk = std::size_t{1} << 30;  // one write() takes at most 2 GiB
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), kChunk));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(file, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

/// Removes the temporary file unless it was renamed.
struct Leftover {
  fs::path file;
  bool renamed = false;
  ~Leftover() {
    if (!renamed) ::unlink(file.c_str());
  }
};

}  // namespace

void atomic_write(const fs::path& file, std::initializer_list<std::span<const std::byte>> parts) {
  Leftover temporary{file.string() + ".tmp-" + std::to_string(::getpid())};
  {
    const Descriptor out(temporary.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, "create");
    for (const auto part : parts) write_all(out.get(), part, file);
    if (::fsync(out.get()) != 0) fail(file, "sync");
  }
  if (::rename(temporary.file.c_str(), file.c_str()) != 0) fail(file, "replace");
  temporary.renamed = true;
  const fs::path directory = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const Descriptor parent(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, "open");
  if (::fsync(parent.get()) != 0) fail(directory, "sync");
}

}  // namespace troupe::gpu
