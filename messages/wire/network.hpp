#pragma once
// Addresses, ports and sockets: what lies below TLS.
#include "messages/wire/tls.hpp"

#include <cstdint>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/function.h>
#include <kj/memory.h>
#include <string>
#include <vector>

namespace troupe::wire {

/// "host:port" taken apart; IPv6 as "[::1]:7000".
struct Address {
  std::string host;
  std::uint16_t port = 0;
};

/// Errors: throws kj::Exception naming the text and the form it should have.
Address parse_address(const std::string& text);
/// The same host with another port. Errors: as parse_address.
std::string with_port(const std::string& address, std::uint16_t port);

/// Whether `host` is a literal loopback address or "localhost".
bool is_loopback(const std::string& host);

/// Opens a port. The host is an IP address or "localhost", or "*" for all; port 0 takes a free one
/// (`getPort`). Errors: throws kj::Exception naming the address and the remedy.
kj::Own<kj::ConnectionReceiver> listen(kj::Network& network, const std::string& address);

/// "host:port" of the other end, or of a port; "local" where there is none (a pipe, a unix socket).
std::string peer_address(kj::AsyncIoStream& stream);
std::string bound_address(kj::ConnectionReceiver& port);

/// Asks the kernel to notice a vanished host even while nothing is sent, and not to delay small
/// writes. Does nothing to what is no socket.
void harden(kj::AsyncIoStream& socket, double silence_seconds);

/// Makes a connection to an address, authenticated where that is wanted. Called on the loop.
using Dial = kj::Function<kj::Promise<kj::Own<kj::AsyncIoStream>>(const std::string& address)>;

/// Dials over TLS; the peer's certificate must be for the host of the address and of one of
/// `roles`. Everything given by reference must outlive the dial.
Dial tls_dial(kj::Network& network, TlsContext& tls, std::vector<std::string> roles,
              double silence_seconds);

/// Dials a peer that certificates know by role and name only, wherever it is.
Dial tls_dial_peer(kj::Network& network, TlsContext& tls, std::string role, std::string name,
                   double silence_seconds);

/// Dials plain TCP, loopback only. Errors: rejects any other address.
Dial insecure_dial(kj::Network& network, double silence_seconds);

}  // namespace troupe::wire
