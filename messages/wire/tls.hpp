#pragma once
// Who may talk to whom: mutual TLS 1.3 under the run's own authority.
#include "messages/wire/refusal.hpp"
#include "messages/wire/tls_stream.hpp"

#include <openssl/ssl.h>

#include <cstddef>
#include <filesystem>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/memory.h>
#include <kj/timer.h>
#include <string>
#include <vector>

namespace troupe::wire {

/// Paths of one process's PEM files. There is no anonymous mode: the first three are required.
struct TlsFiles {
  std::string ca;           ///< The run's own authority; the system's trust store is never used.
  std::string certificate;  ///< Chain, leaf first.
  std::string key;
  std::string crl;  ///< Revocation list of the authority. "": nobody is ever revoked.
};

/// Makes TLS streams. Lives on the loop. TLS 1.3 only, no resumption (it would skip the checks),
/// both certificates verified: authority, dates, key usage, revocation, identity.
///
/// A list of revocations past its next update stays in force; what it does not name is let in.
/// Files that change are read again before the next handshake; if that fails, the old ones serve on
/// and `reload_problem` says why.
class TlsContext final : private kj::TaskSet::ErrorHandler {
 public:
  /// Errors: throws kj::Exception naming the file and the remedy.
  TlsContext(TlsFiles files, kj::Timer& timer);

  /// Dials: `host` is what the certificate must be for (DNS name or IP address), `roles` which of
  /// its roles are acceptable (empty: any). Errors: rejects with a refusal_exception. In TLS 1.3
  /// the client is done before the server has judged it: the server's refusal of *us* comes out of
  /// the first read, as a refusal_exception too. Set a deadline: this sets none.
  kj::Promise<kj::Own<TlsStream>> connect(kj::Own<kj::AsyncIoStream> stream, std::string host,
                                          std::vector<std::string> roles = {});

  /// Dials a peer that is reached under no name of its own: its certificate must be `name`'s, or its pool's, and of
  /// that role. Errors: as above.
  kj::Promise<kj::Own<TlsStream>> connect_to(kj::Own<kj::AsyncIoStream> stream, std::string role,
                                             std::string name);

  /// Answers a dialling peer. Errors: as above; the alert is sent first.
  kj::Promise<kj::Own<TlsStream>> accept(kj::Own<kj::AsyncIoStream> stream,
                                         std::vector<std::string> roles = {});

  /// Who we are, by our own certificate.
  const PeerIdentity& self() const { return self_; }

  /// Why the files that lie there now are not in use; empty while they are.
  const std::string& reload_problem() const { return reload_problem_; }

 private:
  using Stamps = std::vector<std::filesystem::file_time_type>;

  kj::Promise<kj::Own<TlsStream>> start(kj::Own<kj::AsyncIoStream> stream, bool server,
                                        TlsStream::Demands demands);
  void linger(kj::Own<TlsStream> stream);
  void reload_if_changed();
  Stamps stamps() const;
  void taskFailed(kj::Exception&&) override {}

  const TlsFiles files_;
  Stamps loaded_;
  SslContext context_;
  PeerIdentity self_;
  std::string reload_problem_;
  kj::Timer& timer_;
  std::size_t lingering_ = 0;
  kj::TaskSet farewells_{*this};
};

}  // namespace troupe::wire
