#include "messages/wire/network.hpp"

#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <kj/async-io.h>
#include <string>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {

using support::problem_of;

TEST_CASE("an address is a host and a port") {
  CHECK(parse_address("gen-0.example:7000").host == "gen-0.example");
  CHECK(parse_address("gen-0.example:7000").port == 7000);
  CHECK(parse_address("[::1]:7000").host == "::1");
  for (const auto* bad :
       {"", "host", ":7000", "host:", "host:70000", "host:-1", "::1:7000", "h:1x"}) {
    CAPTURE(bad);
    CHECK(problem_of([&] { parse_address(bad); }).find("must be host:port") != std::string::npos);
  }
}

TEST_CASE("only loopback addresses are loopback") {
  for (const auto* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1"}) CHECK(is_loopback(host));
  for (const auto* host : {"", "0.0.0.0", "10.0.0.1", "::", "example.org", "128.0.0.1"})
    CHECK_FALSE(is_loopback(host));
}

TEST_CASE("a taken port and a foreign address are named together with the remedy") {
  support::QuietKj quiet;
  auto io = kj::setupAsyncIo();
  auto& network = io.provider->getNetwork();
  auto port = listen(network, "127.0.0.1:0");
  const auto taken = "127.0.0.1:" + std::to_string(port->getPort());
  const auto text = problem_of([&] { listen(network, taken); });
  CHECK(text.find(taken) != std::string::npos);
  CHECK(text.find("choose a free port") != std::string::npos);
  CHECK(problem_of([&] { listen(network, "example.org:0"); }).find("IP address") !=
        std::string::npos);
  CHECK(bound_address(*port) == taken);
}

TEST_CASE("without TLS nothing but loopback is dialled") {
  support::QuietKj quiet;
  auto io = kj::setupAsyncIo();
  auto dial = insecure_dial(io.provider->getNetwork(), 3);
  CHECK(problem_of([&] { dial("192.0.2.1:7000").wait(io.waitScope); }).find("only loopback") !=
        std::string::npos);
}

}  // namespace troupe::wire
