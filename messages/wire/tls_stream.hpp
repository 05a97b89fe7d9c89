#pragma once
// One TLS connection as a KJ stream.
#include "messages/wire/identity.hpp"
#include "messages/wire/refusal.hpp"

#include <openssl/ssl.h>

#include <cstddef>
#include <kj/array.h>
#include <kj/async-io.h>
#include <kj/async.h>
#include <kj/common.h>
#include <kj/memory.h>
#include <memory>
#include <string>
#include <vector>

namespace troupe::wire {

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, FreeSsl>;

/// TLS over any KJ stream, a socket or a pipe in a test. Lives on the loop; one read and one write
/// at a time, as KJ demands. Moves up to 256 KiB per system call and holds at most about 600 KiB.
///
/// Reads and writes reject with a refusal_exception when the peer refuses us or its bytes are not
/// good TLS records; the stream is of no use then. An end without TLS's own goodbye reads as the
/// end of the stream: the frame layer knows whether that was inside a message.
class TlsStream final : public kj::AsyncIoStream {
 public:
  /// What the handshake asks of the peer.
  struct Demands {
    std::vector<std::string> roles;  ///< Empty: any.
    std::string host;                ///< Empty: not checked.
    std::string name;                ///< Of the peer, or in its pool. Empty: not checked.
  };

  /// TlsContext makes them. Call `handshake` before anything else.
  TlsStream(kj::Own<kj::AsyncIoStream> inner, SSL_CTX& context, bool server, Demands demands);
  ~TlsStream() noexcept(false);

  /// Resolves when both sides are verified. Errors: a refusal_exception.
  kj::Promise<void> handshake();

  /// Who is at the other end; complete after the handshake.
  const PeerIdentity& peer() const { return peer_; }

  /// For OpenSSL's verification callback: has the last word on the peer's certificate.
  bool verify(bool good, X509_STORE_CTX& store);

  /// Says goodbye and reads what still comes, so that an alert is not lost with unread bytes.
  kj::Promise<void> linger();

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t least, std::size_t most) override;
  kj::Promise<void> write(const void* buffer, std::size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override;
  void abortRead() override { inner_->abortRead(); }
  void getsockopt(int level, int option, void* value, kj::uint* length) override;
  void setsockopt(int level, int option, const void* value, kj::uint length) override;
  void getsockname(struct sockaddr* address, kj::uint* length) override;
  void getpeername(struct sockaddr* address, kj::uint* length) override;

 private:
  using Pieces = kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>>;
  struct Ciphertext;  // both directions, between OpenSSL and inner_

  // An idle connection costs the server little: OpenSSL takes its buffers with the first bytes.
  kj::Promise<void> shake();
  kj::Promise<void> hung_up();
  kj::Promise<bool> receive();
  kj::Promise<void> flush();
  kj::Promise<void> encrypt(Pieces pieces, std::size_t offset);
  kj::Promise<std::size_t> decrypt(kj::byte* to, std::size_t least, std::size_t most,
                                   std::size_t done);
  bool refuse(X509_STORE_CTX& store, int error, Refusal refusal, const std::string& why);
  kj::Exception failure();

  kj::Own<kj::AsyncIoStream> inner_;
  const bool server_;
  const Demands demands_;
  std::unique_ptr<Ciphertext> cipher_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  PeerIdentity peer_;
  kj::Maybe<Refusal> refusal_;  // ours, of the peer's certificate
  std::string why_;
  kj::Maybe<kj::Promise<void>> closing_;
};

}  // namespace troupe::wire
