#include "actors/cli/reserved_ports.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <cerrno>
#include <cstdint>
#include <netinet/in.h>
#include <set>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

TEST_SUITE_BEGIN("actors/cli");

namespace troupe {
namespace {

/// A socket that listens there, or the error; with SO_REUSEADDR, as a server, or without, as one that wants it alone.
struct Listener {
  Listener(const std::string& host_and_port, int shared)
      : socket(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(
        static_cast<std::uint16_t>(std::stoi(host_and_port.substr(host_and_port.find(':') + 1))));
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &shared, sizeof shared);
    const bool there = bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                       listen(socket, 1) == 0;
    error = there ? 0 : errno;
  }
  ~Listener() { close(socket); }
  Listener(const Listener&) = delete;
  int socket, error;
};

}  // namespace

TEST_CASE("a reserved port is nobody's but of who is told and stays so when that one ends") {
  const ReservedPorts ports(3);
  CHECK(std::set(ports.addresses().begin(), ports.addresses().end()).size() == 3);
  for (const std::string& address : ports.addresses()) {
    CAPTURE(address);
    CHECK(Listener(address, 0).error == EADDRINUSE);
    for (int life = 0; life < 2; ++life) CHECK(Listener(address, 1).error == 0);
    CHECK(Listener(address, 0).error == EADDRINUSE);
  }
}

TEST_CASE("ports are free again once nobody reserves them") {
  std::string address;
  {
    ReservedPorts ports;
    ports = ReservedPorts(1);
    address = ports.addresses().at(0);
    CHECK(Listener(address, 0).error == EADDRINUSE);
  }
  CHECK(Listener(address, 0).error == 0);
}

}  // namespace troupe
