#include "messages/wire/network.hpp"

#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstddef>
#include <kj/debug.h>
#include <kj/exception.h>
#include <kj/string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utility>

namespace troupe::wire {

namespace {

[[noreturn]] void complain(const std::string& text) {
  kj::throwFatalException(
      kj::Exception(kj::Exception::Type::FAILED, "troupe", 0, kj::str(text.c_str())));
}

/// A numeric address as the kernel wants it.
struct SocketAddress {
  sockaddr_storage storage{};
  kj::uint size = 0;
};

bool fill(SocketAddress& to, const Address& from) {
  auto* four = reinterpret_cast<sockaddr_in*>(&to.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&to.storage);
  const auto host = from.host == "localhost" ? "127.0.0.1" : from.host == "*" ? "::" : from.host;
  if (::inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(from.port);
    to.size = sizeof(*four);
  } else if (::inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(from.port);
    to.size = sizeof(*six);
  }
  return to.size != 0;
}

kj::Promise<kj::Own<kj::AsyncIoStream>> connect(kj::Network& network, const Address& address,
                                                double silence_seconds) {
  return network.parseAddress(kj::StringPtr(address.host.c_str()), address.port)
      .then([](kj::Own<kj::NetworkAddress> found) {
        auto connected = found->connect();
        return connected.attach(kj::mv(found));
      })
      .then([silence_seconds](kj::Own<kj::AsyncIoStream> stream) {
        harden(*stream, silence_seconds);
        return kj::mv(stream);
      });
}

}  // namespace

Address parse_address(const std::string& text) {
  const auto colon = text.rfind(':');
  const auto wrong = [&text] {
    complain("'" + text + "' is no address: it must be host:port, or [host]:port for IPv6");
  };
  if (colon == std::string::npos || colon == 0) wrong();
  Address address{text.substr(0, colon), 0};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || stop != end) wrong();
  if (address.host.front() == '[' && address.host.back() == ']')
    address.host = address.host.substr(1, address.host.size() - 2);
  else if (address.host.find(':') != std::string::npos)
    wrong();
  return address;
}

std::string with_port(const std::string& address, std::uint16_t port) {
  constexpr std::string_view kMapped = "::ffff:";  // IPv4 as a socket for both shows it
  std::string host = parse_address(address).host;
  if (host.starts_with(kMapped) && host.find('.') != std::string::npos)
    host = host.substr(kMapped.size());
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return host + ":" + std::to_string(port);
}

bool is_loopback(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (host == "localhost") return true;
  if (::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return bytes[0] == 127;
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) != 1) return false;
  const auto* six = reinterpret_cast<const in6_addr*>(bytes.data());
  return IN6_IS_ADDR_LOOPBACK(six);
}

namespace {

std::string address_text(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &four->sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(four->sin_port));
  }
  if (address->sa_family != AF_INET6) return "local";
  const auto* six = reinterpret_cast<const sockaddr_in6*>(address);
  ::inet_ntop(AF_INET6, &six->sin6_addr, text.data(), text.size());
  return kj::str('[', text.data(), "]:", ntohs(six->sin6_port)).cStr();
}

}  // namespace

kj::Own<kj::ConnectionReceiver> listen(kj::Network& network, const std::string& address) {
  SocketAddress socket;
  if (!fill(socket, parse_address(address)))
    complain("cannot listen on '" + address +
             "': the host must be an IP address of this machine, "
             "localhost, or * for all of them");
  kj::Own<kj::ConnectionReceiver> port;
  auto problem = kj::runCatchingExceptions(
      [&] { port = network.getSockaddr(&socket.storage, socket.size)->listen(); });
  KJ_IF_MAYBE (exception, problem) {
    complain("cannot listen on '" + address + "': " + exception->getDescription().cStr() +
             "; choose a free port and an address of this machine");
  }
  return port;
}

void harden(kj::AsyncIoStream& socket, double silence_seconds) {
  const int on = 1;
  const int idle_seconds = silence_seconds > 3 ? static_cast<int>(silence_seconds / 3) : 1;
  const auto milliseconds = static_cast<unsigned>(silence_seconds * 1000);
  const auto set = [&socket](int level, int option, const auto& value) {
    kj::runCatchingExceptions([&] { socket.setsockopt(level, option, &value, sizeof(value)); });
  };
  set(IPPROTO_TCP, TCP_NODELAY, on);
  set(SOL_SOCKET, SO_KEEPALIVE, on);
  set(IPPROTO_TCP, TCP_KEEPIDLE, idle_seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, idle_seconds);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}

std::string peer_address(kj::AsyncIoStream& stream) {
  SocketAddress peer;
  peer.size = sizeof(peer.storage);
  auto* address = reinterpret_cast<sockaddr*>(&peer.storage);
  auto problem = kj::runCatchingExceptions([&] { stream.getpeername(address, &peer.size); });
  return problem == nullptr ? address_text(address) : "local";
}

std::string bound_address(kj::ConnectionReceiver& port) {
  SocketAddress own;
  own.size = sizeof(own.storage);
  auto* address = reinterpret_cast<sockaddr*>(&own.storage);
  auto problem = kj::runCatchingExceptions([&] { port.getsockname(address, &own.size); });
  return problem == nullptr ? address_text(address) : "local";
}

Dial tls_dial(kj::Network& network, TlsContext& tls, std::vector<std::string> roles,
              double silence_seconds) {
  return [&network, &tls, roles = std::move(roles),
          silence_seconds](const std::string& text) -> kj::Promise<kj::Own<kj::AsyncIoStream>> {
    auto address = parse_address(text);
    return connect(network, address, silence_seconds)
        .then([&tls, roles, host = address.host](kj::Own<kj::AsyncIoStream> stream) {
          return tls.connect(kj::mv(stream), host, roles);
        })
        .then(
            [](kj::Own<TlsStream> stream) -> kj::Own<kj::AsyncIoStream> { return kj::mv(stream); });
  };
}

Dial tls_dial_peer(kj::Network& network, TlsContext& tls, std::string role, std::string name,
                   double silence_seconds) {
  return [&network, &tls, role = std::move(role), name = std::move(name),
          silence_seconds](const std::string& text) -> kj::Promise<kj::Own<kj::AsyncIoStream>> {
    return connect(network, parse_address(text), silence_seconds)
        .then([&tls, role, name](kj::Own<kj::AsyncIoStream> stream) {
          return tls.connect_to(kj::mv(stream), role, name);
        })
        .then(
            [](kj::Own<TlsStream> stream) -> kj::Own<kj::AsyncIoStream> { return kj::mv(stream); });
  };
}

Dial insecure_dial(kj::Network& network, double silence_seconds) {
  return [&network, silence_seconds](const std::string& text) {
    const auto address = parse_address(text);
    if (!is_loopback(address.host))
      complain("'" + text + "' is not dialled without TLS: only loopback addresses are");
    return connect(network, address, silence_seconds);
  };
}

}  // namespace troupe::wire
