#pragma once
// Memory that processes of one machine share and that nobody can change any more (memfd_create(2), fcntl(2) F_ADD_SEALS).
#include <cstdint>
#include <kj/common.h>
#include <kj/io.h>
#include <memory>
#include <string>

namespace troupe::wire {

/// A sealed copy of bytes, known by its descriptor. Safe from any thread.
class SealedMemory {
 public:
  /// Copies `bytes`. Errors: throws kj::Exception if the kernel refuses, for want of memory say.
  explicit SealedMemory(kj::ArrayPtr<const kj::byte> bytes);

  int descriptor() const { return file_; }
  std::uint64_t size() const { return size_; }

 private:
  kj::AutoCloseFd file_;
  std::uint64_t size_;
};

/// Maps what another process sealed, for reading only; unmapped with the last pointer to it. The descriptor may be closed
/// then. Errors: throws kj::Exception if it is not sealed against every change, or not of that size.
std::shared_ptr<const float[]> map_sealed(int descriptor, std::uint64_t bytes);

/// Boot id and host name: processes that say the same may share memory, which only receiving a descriptor proves.
const std::string& machine_name();

}  // namespace troupe::wire
