#include "messages/wire/gate.hpp"

#include "messages/pki/identity.hpp"

#include <array>
#include <kj/debug.h>
#include <kj/string.h>
#include <utility>

namespace troupe::wire {

namespace {

constexpr std::array kWords{
    std::pair{JoinRefusal::protocol_mismatch, "protocol_mismatch"},
    std::pair{JoinRefusal::run_mismatch, "run_mismatch"},
    std::pair{JoinRefusal::config_mismatch, "config_mismatch"},
    std::pair{JoinRefusal::role_mismatch, "role_mismatch"},
    std::pair{JoinRefusal::name_taken, "name_taken"},
    std::pair{JoinRefusal::epoch_old, "epoch_old"},
    std::pair{JoinRefusal::full, "full"},
};

const std::string kMark = "join refused, ";
constexpr std::size_t kLongestClaim = 64;

std::string claim(capnp::Text::Reader text) {  // of an unproven peer: short, for a message
  return kj::str('\'', text.slice(0, kj::min(text.size(), kLongestClaim)), '\'').cStr();
}

class GateServer final : public Gate::Server {
 public:
  GateServer(GateTerms terms, PeerIdentity identity, Admit admit)
      : terms_(std::move(terms)), identity_(std::move(identity)), admit_(kj::mv(admit)) {}

 protected:
  kj::Promise<void> join(JoinContext context) override {
    const auto hello = context.getParams().getHello();
    KJ_REQUIRE(!joined_, "a session joins once");
    check(hello);
    joined_ = true;
    return admit_(identity_, hello).then([this, context](Granted granted) mutable {
      auto welcome = context.getResults().initWelcome();
      welcome.setRunId(terms_.run_id.c_str());
      welcome.setEpoch(terms_.epoch);
      welcome.setLease(granted.lease);
      welcome.setRole(kj::mv(granted.role));
    });
  }

  kj::Promise<void> ping(PingContext context) override {
    context.getResults().setSequence(context.getParams().getSequence());
    return kj::READY_NOW;
  }

 private:
  void check(Hello::Reader hello) {
    if (hello.getProtocol() != PROTOCOL_VERSION)
      refuse_join(JoinRefusal::protocol_mismatch, "the peer speaks protocol " +
                                                      std::to_string(hello.getProtocol()) +
                                                      " and " + std::to_string(PROTOCOL_VERSION) +
                                                      " is spoken here; run one version of Troupe");
    if (hello.getRunId().size() > 0 && hello.getRunId() != terms_.run_id.c_str())
      refuse_join(JoinRefusal::run_mismatch, "the peer belongs to run " + claim(hello.getRunId()) +
                                                 ", and this is " + terms_.run_id +
                                                 "; check the address it dials");
    if (hello.getConfigDigest().size() > 0 && !terms_.config_digest.empty() &&
        hello.getConfigDigest() != terms_.config_digest.c_str())
      refuse_join(JoinRefusal::config_mismatch,
                  "the peer read another config file; give all processes the same one");
    const std::string name = hello.getName(), role = hello.getRole();
    if (!pki::is_plain_name(name))
      refuse_join(JoinRefusal::role_mismatch,
                  claim(name) + " is no name; give at most 63 lower-case letters, digits or '-'");
    if (identity_.role.empty() && is_role(role)) {
      identity_.role = role;
      identity_.name = name;
    }
    const auto certified = pki::parse_role(identity_.role);
    if (role != identity_.role || !certified ||
        !pki::may_join_as({*certified, identity_.name}, name))
      refuse_join(JoinRefusal::role_mismatch, "the peer says it is " + claim(role) + " " +
                                                  claim(name) + ", and its certificate says " +
                                                  identity_.role + " " + identity_.name);
    identity_.name = name;  // of a pool's certificate, the member
  }

  const GateTerms terms_;
  PeerIdentity identity_;
  Admit admit_;
  bool joined_ = false;
};

}  // namespace

const char* to_string(JoinRefusal reason) {
  for (const auto& [value, word] : kWords)
    if (value == reason) return word;
  return "unknown";
}

bool is_final(JoinRefusal reason) {
  return reason == JoinRefusal::protocol_mismatch || reason == JoinRefusal::run_mismatch ||
         reason == JoinRefusal::config_mismatch || reason == JoinRefusal::role_mismatch;
}

kj::Exception join_refused_exception(JoinRefusal reason, const std::string& text) {
  return kj::Exception(kj::Exception::Type::FAILED, "troupe", 0,
                       kj::str(kMark.c_str(), to_string(reason), ": ", text.c_str()));
}

void refuse_join(JoinRefusal reason, const std::string& text) {
  kj::throwFatalException(join_refused_exception(reason, text));
}

kj::Maybe<JoinRefused> join_refused(const kj::Exception& exception) {
  const std::string text = exception.getDescription().cStr();
  const auto mark = text.find(kMark);  // KJ puts "remote exception: " before it
  if (exception.getType() != kj::Exception::Type::FAILED || mark == std::string::npos)
    return nullptr;
  const auto begin = mark + kMark.size();
  const auto colon = text.find(": ", begin);
  for (const auto& [value, word] : kWords)
    if (text.substr(begin, colon - begin) == word)
      return JoinRefused{value, colon == std::string::npos ? "" : text.substr(colon + 2)};
  return nullptr;
}

Gate::Client make_gate(GateTerms terms, PeerIdentity identity, Admit admit) {
  return kj::heap<GateServer>(std::move(terms), std::move(identity), kj::mv(admit));
}

}  // namespace troupe::wire
