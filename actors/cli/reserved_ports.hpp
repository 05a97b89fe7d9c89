#pragma once
// Ports of this machine that are known before anyone listens on them.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// While it is there the kernel gives its ports to nobody who takes a free one, and whoever is told a port may listen on
/// it, again and again (with SO_REUSEADDR, which KJ's sockets have). Used by one thread.
class ReservedPorts {
 public:
  ReservedPorts() = default;
  /// Ports of 127.0.0.1. Errors: throws std::system_error.
  explicit ReservedPorts(std::int32_t count);
  ~ReservedPorts();
  ReservedPorts(ReservedPorts&& other) noexcept { *this = std::move(other); }
  ReservedPorts& operator=(ReservedPorts&& other) noexcept;

  /// "127.0.0.1:port" each.
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  std::vector<int> sockets_;  // bound; none of them listens
  std::vector<std::string> addresses_;
};

}  // namespace troupe
