#pragma once
// The door of a serving process: who may come in, and how a refusal is told.
#include "messages/wire/gate.capnp.h"
#include "messages/wire/identity.hpp"

#include <capnp/capability.h>
#include <cstdint>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/exception.h>
#include <kj/function.h>
#include <string>

namespace troupe::wire {

/// Why `join` was refused. The word travels in the text of the exception.
enum class JoinRefusal : std::uint8_t {
  protocol_mismatch = 1,  ///< Another version of this protocol: update one of the two.
  run_mismatch,           ///< Another run: the peer dialled the wrong address, or it is a leftover.
  config_mismatch,        ///< Another config file.
  role_mismatch,          ///< The certificate is of another role or name.
  name_taken,             ///< Somebody of this name is here.
  epoch_old,              ///< The peer's state is older than the run's.
  full,                   ///< No room for another of this role.
};

/// The enumerator's name: a stable word.
const char* to_string(JoinRefusal reason);

/// Whether dialling again cannot help: protocol, run, config or role.
bool is_final(JoinRefusal reason);

struct JoinRefused {
  JoinRefusal reason{};
  std::string text;
};

/// For the serving side: throws the refusal, or makes it.
[[noreturn]] void refuse_join(JoinRefusal reason, const std::string& text);
kj::Exception join_refused_exception(JoinRefusal reason, const std::string& text);
/// For the calling side: the refusal inside an exception, or nothing.
kj::Maybe<JoinRefused> join_refused(const kj::Exception& exception);

/// What a serving process checks of each Hello by itself.
struct GateTerms {
  std::string run_id;
  std::string config_digest;  ///< Empty: not checked.
  std::uint64_t epoch = 0;
};

/// What it grants.
struct Granted {
  std::uint64_t lease = 0;
  capnp::Capability::Client role;
};

/// Decides about a peer whose Hello agrees with terms and certificate: grants, or calls
/// refuse_join. `identity` is complete also without TLS (then it is what Hello claims). A promise,
/// so that it may ask others.
using Admit = kj::Function<kj::Promise<Granted>(const PeerIdentity& identity, Hello::Reader hello)>;

/// The Gate of one session. Checks protocol, run, config, role and name, then asks `admit`. A
/// second join on the same session is an error. `identity` with an empty role: no TLS, Hello is
/// believed.
Gate::Client make_gate(GateTerms terms, PeerIdentity identity, Admit admit);

}  // namespace troupe::wire
