#include "messages/pki/hosts.hpp"

#include "tests/messages/pki/support.hpp"

#include <string>
#include <vector>

TEST_SUITE_BEGIN("messages/pki");

namespace troupe::pki {

TEST_CASE("hosts are lower case and not repeated") {
  CHECK(normal_hosts({"A.Example", "a.example", "10.0.0.1", "FD00::1", "node_1", "3com.example"}) ==
        std::vector<std::string>{"a.example", "10.0.0.1", "fd00::1", "node_1", "3com.example"});
}

TEST_CASE("what is no host is refused with the reason") {
  const auto refusal = [](const std::string& host) {
    return error_of([&] { normal_hosts({host}); });
  };
  TROUPE_CHECK_HAS(refusal(""), "is empty");
  TROUPE_CHECK_HAS(refusal("*.example"), "*.example is a wildcard");
  TROUPE_CHECK_HAS(refusal("a.example:7000"), "without port");
  TROUPE_CHECK_HAS(refusal("[::1]"), "without port and brackets");
  TROUPE_CHECK_HAS(refusal("https://a.example"), "is a URL");
  for (const std::string host :
       {"300.1.1.1", "1.2.3", "a..b", ".a", "a.", "-a", "a-", "a b", "a,b", "a\nb", "\xc3\xa9"}) {
    CAPTURE(host);
    TROUPE_CHECK_HAS(refusal(host), "neither a DNS name nor an IP address");
  }
  TROUPE_CHECK_HAS(refusal(std::string(64, 'a')), "neither");
  TROUPE_CHECK_HAS(refusal(std::string("10.0.0.1\0x", 10)), "host 10.0.0.1");
}

}  // namespace troupe::pki
