#include "messages/wire/sealed_memory.hpp"

#include <fcntl.h>
#include <fstream>
#include <kj/debug.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe::wire {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

/// Written, not mapped: F_SEAL_WRITE is refused while anybody has a mapping to write to.
void write_all(int file, kj::ArrayPtr<const kj::byte> bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    ssize_t written = 0;
    KJ_SYSCALL(written = ::write(file, bytes.begin() + done, bytes.size() - done));
    done += static_cast<std::size_t>(written);
  }
}

std::string read_machine_name() {
  constexpr std::size_t kLongest = 256;
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  char host[kLongest] = {};
  ::gethostname(host, sizeof host - 1);
  return boot + "/" + host;
}

}  // namespace

SealedMemory::SealedMemory(kj::ArrayPtr<const kj::byte> bytes) : size_(bytes.size()) {
  int file = -1;
  KJ_SYSCALL(file = ::memfd_create("troupe-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  file_ = kj::AutoCloseFd(file);
  write_all(file, bytes);
  KJ_SYSCALL(::fcntl(file, F_ADD_SEALS, kSeals));
}

std::shared_ptr<const float[]> map_sealed(int descriptor, std::uint64_t bytes) {
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  KJ_REQUIRE(seals >= 0 && (seals & kSeals) == kSeals, "the memory could still be changed");
  struct stat about {};
  KJ_SYSCALL(::fstat(descriptor, &about));
  KJ_REQUIRE(static_cast<std::uint64_t>(about.st_size) == bytes, "memory of another size", bytes,
             about.st_size);
  void* start = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (start == MAP_FAILED) KJ_FAIL_SYSCALL("mmap", errno);
  return {static_cast<const float*>(start),
          [bytes](const float* mapped) { ::munmap(const_cast<float*>(mapped), bytes); }};
}

const std::string& machine_name() {
  static const std::string name = read_machine_name();
  return name;
}

}  // namespace troupe::wire
