#include "messages/wire/tls_stream.hpp"

#include "messages/pki/identity.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <kj/debug.h>
#include <utility>

namespace troupe::wire {

namespace {

constexpr std::size_t kPerCall = 256 << 10;        // bytes given to or asked of a system call
constexpr std::size_t kHandshakeRead = 2 << 10;    // until the peer is known
constexpr std::size_t kMostUnsent = 2 * kPerCall;  // a flood of key updates ends here
constexpr std::size_t kMostLingering = 256 << 10;

int ask_stream(int good, X509_STORE_CTX* store) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  return static_cast<TlsStream*>(SSL_get_app_data(ssl))->verify(good == 1, *store) ? 1 : 0;
}

bool is_ip(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> space{};
  return ::inet_pton(AF_INET, host.c_str(), space.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), space.data()) == 1;
}

void demand_host(SSL* ssl, const std::string& host) {
  auto* parameters = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (is_ip(host)) {
    KJ_REQUIRE(X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1);
  } else {
    KJ_REQUIRE(X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size()) == 1);
    KJ_REQUIRE(SSL_set_tlsext_host_name(ssl, host.c_str()) == 1);
  }
}

std::string list_of(const std::vector<std::string>& words) {
  std::string list;
  for (const auto& word : words) list += (list.empty() ? "" : ", ") + word;
  return list.empty() ? "nothing" : list;
}

}  // namespace

/// What OpenSSL reads from and writes to: plain arrays instead of its growing memory BIO.
struct TlsStream::Ciphertext {
  kj::Array<kj::byte> in = kj::heapArray<kj::byte>(kHandshakeRead);
  std::size_t begin = 0, end = 0;  // in[begin, end) is not read yet
  std::vector<kj::byte> out, sending;

  static int read(BIO* bio, char* to, int most) {
    auto& self = *static_cast<Ciphertext*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const auto size = std::min<std::size_t>(most, self.end - self.begin);
    if (size == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(to, self.in.begin() + self.begin, size);
    self.begin += size;
    return static_cast<int>(size);
  }

  static int write(BIO* bio, const char* from, int size) {
    auto& self = *static_cast<Ciphertext*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const auto* bytes = reinterpret_cast<const kj::byte*>(from);
    self.out.insert(self.out.end(), bytes, bytes + size);
    return size;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made_once = [] {
      auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "troupe");
      BIO_meth_set_read(made, read);
      BIO_meth_set_write(made, write);
      BIO_meth_set_ctrl(made, control);
      return made;
    }();
    return made_once;
  }
};

TlsStream::TlsStream(kj::Own<kj::AsyncIoStream> inner, SSL_CTX& context, bool server,
                     Demands demands)
    : inner_(kj::mv(inner)),
      server_(server),
      demands_(std::move(demands)),
      cipher_(std::make_unique<Ciphertext>()),
      ssl_(SSL_new(&context)) {
  KJ_REQUIRE(ssl_ != nullptr, "OpenSSL has no memory for a connection");
  auto* bio = BIO_new(Ciphertext::method());
  BIO_set_data(bio, cipher_.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, ask_stream);
  if (!demands_.host.empty()) demand_host(ssl_.get(), demands_.host);
  server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
}

TlsStream::~TlsStream() noexcept(false) = default;

bool TlsStream::verify(bool good, X509_STORE_CTX& store) {
  const int error = X509_STORE_CTX_get_error(&store);
  if (!good && error == X509_V_ERR_CRL_HAS_EXPIRED) {  // what it revokes stays revoked
    X509_STORE_CTX_set_error(&store, X509_V_OK);
    return true;
  }
  if (!good) {
    PeerIdentity claimed;
    if (auto* leaf = X509_STORE_CTX_get0_cert(&store)) read_identity(*leaf, claimed);
    std::string why =
        std::string("the peer's certificate: ") + X509_verify_cert_error_string(error);
    if (refusal_of_verification(error) == Refusal::wrong_host)
      why += ": it is for " + list_of(claimed.hosts) + ", and " + demands_.host + " was dialled";
    return refuse(store, error, refusal_of_verification(error), why);
  }
  if (X509_STORE_CTX_get_error_depth(&store) != 0) return true;
  const auto problem = read_identity(*X509_STORE_CTX_get0_cert(&store), peer_);
  // The error codes choose the alerts by which the peer learns why: refusal_of_library_error.
  if (!problem.empty())
    return refuse(store, X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, Refusal::no_identity, problem);
  const auto& roles = demands_.roles;
  if (!roles.empty() && std::find(roles.begin(), roles.end(), peer_.role) == roles.end())
    return refuse(store, X509_V_ERR_APPLICATION_VERIFICATION, Refusal::wrong_role,
                  "the peer is " + peer_.role + " " + peer_.name + ", and only " + list_of(roles) +
                      " may be there");
  const auto role = pki::parse_role(peer_.role);
  if (!demands_.name.empty() && (!role || !pki::may_join_as({*role, peer_.name}, demands_.name)))
    return refuse(
        store, X509_V_ERR_APPLICATION_VERIFICATION, Refusal::wrong_host,
        "the peer is " + peer_.role + " " + peer_.name + ", and " + demands_.name + " was dialled");
  return true;
}

bool TlsStream::refuse(X509_STORE_CTX& store, int error, Refusal refusal, const std::string& why) {
  X509_STORE_CTX_set_error(&store, error);
  refusal_ = refusal;
  why_ = why;
  return false;
}

kj::Exception TlsStream::failure() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  KJ_IF_MAYBE (ours, refusal_) {
    return refusal_exception(*ours, why_);
  }
  if (code == 0) return refusal_exception(Refusal::failed, "TLS failed without a reason");
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  const bool alert = ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
  const auto refusal = refusal_of_library_error(code, server_);
  return refusal_exception(
      refusal, (alert ? "the peer refuses us: " : "the peer's bytes are not good TLS: ") +
                   std::string(text.data()));
}

kj::Promise<void> TlsStream::handshake() {
  if (!server_) return shake();
  return receive().then([this](bool more) { return more ? shake() : hung_up(); });
}

kj::Promise<void> TlsStream::hung_up() {
  return refusal_exception(Refusal::closed, "the peer hung up in the handshake");
}

kj::Promise<void> TlsStream::shake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) {
    auto refusal = failure();
    return flush()  // the alert first
        .catch_([](kj::Exception&&) {})
        .then(
            [refusal = kj::mv(refusal)]() mutable -> kj::Promise<void> { return kj::mv(refusal); });
  }
  return flush().then([this, result]() -> kj::Promise<void> {
    if (result == 1) {
      if (cipher_->begin == cipher_->end) cipher_->in = kj::heapArray<kj::byte>(kPerCall);
      return kj::READY_NOW;
    }
    return receive().then([this](bool more) { return more ? shake() : hung_up(); });
  });
}

kj::Promise<void> TlsStream::linger() {
  inner_->shutdownWrite();
  return inner_->tryRead(cipher_->in.begin(), 1, cipher_->in.size())
      .then([this](std::size_t size) -> kj::Promise<void> {
        cipher_->end += size;
        if (size == 0 || cipher_->end > kMostLingering) return kj::READY_NOW;
        return linger();
      });
}

kj::Promise<bool> TlsStream::receive() {
  auto& in = cipher_->in;
  if (in.size() < kPerCall && SSL_is_init_finished(ssl_.get()))
    in = kj::heapArray<kj::byte>(kPerCall);
  return inner_->tryRead(in.begin(), 1, in.size()).then([this](std::size_t size) {
    cipher_->begin = 0;
    cipher_->end = size;
    return size > 0;
  });
}

kj::Promise<void> TlsStream::flush() {
  auto& [in, begin, end, out, sending] = *cipher_;
  if (out.empty()) return kj::READY_NOW;
  std::swap(out, sending);  // reading may append to `out` while `sending` is on its way
  out.clear();
  return inner_->write(sending.data(), sending.size()).then([this] { cipher_->sending.clear(); });
}

kj::Promise<void> TlsStream::write(const void* buffer, std::size_t size) {
  auto piece = kj::heapArray<kj::ArrayPtr<const kj::byte>>(1);
  piece[0] = kj::arrayPtr(static_cast<const kj::byte*>(buffer), size);
  auto done = encrypt(piece, 0);
  return done.attach(kj::mv(piece));
}

kj::Promise<void> TlsStream::write(Pieces pieces) {
  return encrypt(pieces, 0);
}

kj::Promise<void> TlsStream::encrypt(Pieces pieces, std::size_t offset) {
  while (pieces.size() > 0 && cipher_->out.size() < kPerCall) {
    const auto rest = pieces[0].slice(offset, pieces[0].size());
    const auto size = std::min(rest.size(), kPerCall / 4);
    ERR_clear_error();
    if (size > 0 && SSL_write(ssl_.get(), rest.begin(), static_cast<int>(size)) <= 0)
      return failure();
    offset += size;
    if (offset < pieces[0].size()) continue;
    pieces = pieces.slice(1, pieces.size());
    offset = 0;
  }
  if (pieces.size() == 0) return flush();
  return flush().then([this, pieces, offset] { return encrypt(pieces, offset); });
}

kj::Promise<std::size_t> TlsStream::tryRead(void* buffer, std::size_t least, std::size_t most) {
  return decrypt(static_cast<kj::byte*>(buffer), least, most, 0);
}

kj::Promise<std::size_t> TlsStream::decrypt(kj::byte* to, std::size_t least, std::size_t most,
                                            std::size_t done) {
  while (done < most) {
    ERR_clear_error();
    const int size = SSL_read(ssl_.get(), to + done,
                              static_cast<int>(std::min<std::size_t>(most - done, 1 << 30)));
    if (size > 0) {
      done += static_cast<std::size_t>(size);
      continue;
    }
    const int reason = SSL_get_error(ssl_.get(), size);
    if (reason == SSL_ERROR_ZERO_RETURN) return done;
    if (reason != SSL_ERROR_WANT_READ) return failure();
    break;
  }
  if (done >= least) return done;
  if (cipher_->out.size() > kMostUnsent)
    return refusal_exception(Refusal::failed, "the peer asks for answers that it does not take");
  return receive().then([=, this](bool more) -> kj::Promise<std::size_t> {
    if (!more) return done;
    return decrypt(to, least, most, done);
  });
}

void TlsStream::shutdownWrite() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  closing_ =
      flush().then([this] { inner_->shutdownWrite(); }).eagerlyEvaluate([](kj::Exception&&) {});
}

void TlsStream::getsockopt(int level, int option, void* value, kj::uint* length) {
  inner_->getsockopt(level, option, value, length);
}

void TlsStream::setsockopt(int level, int option, const void* value, kj::uint length) {
  inner_->setsockopt(level, option, value, length);
}

void TlsStream::getsockname(struct sockaddr* address, kj::uint* length) {
  inner_->getsockname(address, length);
}

void TlsStream::getpeername(struct sockaddr* address, kj::uint* length) {
  inner_->getpeername(address, length);
}

}  // namespace troupe::wire
