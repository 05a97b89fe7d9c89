#pragma once
// Why a connection was not made.
#include <cstdint>
#include <kj/common.h>
#include <kj/exception.h>
#include <string>

namespace troupe::wire {

/// Why one side would not talk to the other, before the first call.
enum class Refusal : std::uint8_t {
  foreign_ca = 1,  ///< The certificate is not of the run's own authority.
  expired,         ///< The certificate's life is over.
  not_yet_valid,   ///< It has not begun: a clock is wrong.
  revoked,         ///< The authority's revocation list names the certificate.
  wrong_host,      ///< The certificate is not for the host that was dialled.
  wrong_role,      ///< The certificate's role may not be on this end of the link.
  wrong_use,       ///< The extended key usage forbids this end of the link.
  no_identity,     ///< The certificate names no role, or more than one.
  no_certificate,  ///< The peer showed none.
  old_tls,         ///< The peer does not speak TLS 1.3.
  plain_text,      ///< The peer does not speak TLS.
  timeout,         ///< The peer did not finish the handshake in time.
  full,            ///< As many handshakes or sessions as are allowed.
  closed,          ///< The peer hung up in the handshake.
  failed,          ///< Anything else; the text says more.
};

/// The enumerator's name: a stable word for metrics and logs.
const char* to_string(Refusal refusal);

/// A refusal as it travels through promises: its text names the reason and what to do about it.
kj::Exception refusal_exception(Refusal refusal, const std::string& text);

/// The refusal inside an exception, or nothing. A deadline (OVERLOADED) is `timeout`.
kj::Maybe<Refusal> refusal_of(const kj::Exception& exception);

/// What a failed check of a certificate (X509_V_ERR_...) means.
Refusal refusal_of_verification(long result);

/// What an entry of OpenSSL's error queue means: a fault in the peer's bytes, or an alert by which
/// the peer tells why it refused us. A bad certificate means, to the dialling side, dates (nobody
/// checks its host), and to the serving side (`server`) the host.
Refusal refusal_of_library_error(unsigned long code, bool server);

}  // namespace troupe::wire
