#include "actors/cli/reserved_ports.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe {

ReservedPorts::ReservedPorts(std::int32_t count) : ReservedPorts() {
  for (std::int32_t i = 0; i < count; ++i) {
    sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int shared = 1;  // with who listens later
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (setsockopt(sockets_.back(), SOL_SOCKET, SO_REUSEADDR, &shared, sizeof shared) != 0 ||
        bind(sockets_.back(), any, size) != 0 || getsockname(sockets_.back(), any, &size) != 0)
      throw std::system_error(errno, std::generic_category(), "no free port on 127.0.0.1");
    addresses_.push_back("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  }
}

ReservedPorts::~ReservedPorts() {
  for (const int one : sockets_) close(one);
}

ReservedPorts& ReservedPorts::operator=(ReservedPorts&& other) noexcept {
  std::swap(sockets_, other.sockets_);
  std::swap(addresses_, other.addresses_);
  return *this;
}

}  // namespace troupe
