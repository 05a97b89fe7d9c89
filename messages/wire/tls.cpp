#include "messages/wire/tls.hpp"

#include "messages/wire/limits.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <kj/debug.h>
#include <kj/string.h>
#include <system_error>
#include <utility>

namespace troupe::wire {

namespace {

constexpr std::size_t kMostLingering = 64;

std::string library_error() {
  std::string text = "no detail";
  if (const auto code = ERR_get_error()) text = ERR_reason_error_string(code) ?: "no detail";
  ERR_clear_error();
  return text;
}

[[noreturn]] void complain(const std::string& what, const std::string& file,
                           const std::string& remedy) {
  std::error_code error;
  const bool there = std::filesystem::exists(file, error);
  kj::throwFatalException(kj::Exception(
      kj::Exception::Type::FAILED, "troupe", 0,
      kj::str("cannot use the ", what.c_str(), " file '", file.c_str(), "': ",
              there ? library_error().c_str() : "there is no such file", "; ", remedy.c_str())));
}

void add_revocations(X509_STORE* store, const std::string& file) {
  const std::unique_ptr<BIO, int (*)(BIO*)> in(BIO_new_file(file.c_str(), "r"), BIO_free);
  const std::unique_ptr<X509_CRL, void (*)(X509_CRL*)> list(
      in ? PEM_read_bio_X509_CRL(in.get(), nullptr, nullptr, nullptr) : nullptr, X509_CRL_free);
  if (!list || X509_STORE_add_crl(store, list.get()) != 1)
    complain("revocation list", file, "it must be a PEM CRL of the authority");
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

SslContext load(const TlsFiles& files) {
  ERR_clear_error();
  SslContext made(SSL_CTX_new(TLS_method()));
  auto* context = made.get();
  KJ_REQUIRE(context != nullptr, "OpenSSL has no memory for a context");
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);  // a resumed session would skip the checks
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_load_verify_file(context, files.ca.c_str()) != 1)
    complain("authority", files.ca, "give the ca.pem that 'troupe pki init' made");
  SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(files.ca.c_str()));
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
    complain("certificate", files.certificate, "issue one with 'troupe pki issue'");
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    complain("key", files.key, "it must be the unencrypted PEM key of " + files.certificate);
  if (!files.crl.empty()) add_revocations(SSL_CTX_get_cert_store(context), files.crl);
  return made;
}

}  // namespace

TlsContext::TlsContext(TlsFiles files, kj::Timer& timer)
    : files_(std::move(files)), loaded_(stamps()), context_(load(files_)), timer_(timer) {
  const auto problem = read_identity(*SSL_CTX_get0_certificate(context_.get()), self_);
  if (!problem.empty())
    kj::throwFatalException(
        refusal_exception(Refusal::no_identity, files_.certificate + ": " + problem));
}

TlsContext::Stamps TlsContext::stamps() const {
  Stamps all;
  for (const auto* file : {&files_.ca, &files_.certificate, &files_.key, &files_.crl}) {
    std::error_code missing;
    all.push_back(std::filesystem::last_write_time(*file, missing));
  }
  return all;
}

void TlsContext::reload_if_changed() {
  auto found = stamps();
  if (found == loaded_) return;
  auto problem = kj::runCatchingExceptions([&] {
    auto context = load(files_);
    PeerIdentity self;
    const auto wrong = read_identity(*SSL_CTX_get0_certificate(context.get()), self);
    KJ_REQUIRE(wrong.empty(), files_.certificate.c_str(), wrong.c_str());
    context_ = std::move(context);
    self_ = std::move(self);
    reload_problem_.clear();
  });
  KJ_IF_MAYBE (exception, problem) {
    reload_problem_ = exception->getDescription().cStr();
  }
  loaded_ = std::move(found);
}

kj::Promise<kj::Own<TlsStream>> TlsContext::connect(kj::Own<kj::AsyncIoStream> stream,
                                                    std::string host,
                                                    std::vector<std::string> roles) {
  KJ_REQUIRE(!host.empty(), "a dial over TLS needs the host that the certificate must be for");
  return start(kj::mv(stream), false, {std::move(roles), std::move(host), ""});
}

kj::Promise<kj::Own<TlsStream>> TlsContext::connect_to(kj::Own<kj::AsyncIoStream> stream,
                                                       std::string role, std::string name) {
  KJ_REQUIRE(!role.empty() && !name.empty(), "a peer without a host is dialled by role and name");
  return start(kj::mv(stream), false, {{std::move(role)}, "", std::move(name)});
}

kj::Promise<kj::Own<TlsStream>> TlsContext::accept(kj::Own<kj::AsyncIoStream> stream,
                                                   std::vector<std::string> roles) {
  return start(kj::mv(stream), true, {std::move(roles), "", ""});
}

kj::Promise<kj::Own<TlsStream>> TlsContext::start(kj::Own<kj::AsyncIoStream> stream, bool server,
                                                  TlsStream::Demands demands) {
  reload_if_changed();
  auto made = kj::heap<TlsStream>(kj::mv(stream), *context_, server, std::move(demands));
  auto& tls = *made;
  auto kept = kj::heap<kj::Own<TlsStream>>(kj::mv(made));
  auto& slot = *kept;
  return tls.handshake()
      .then([&slot]() -> kj::Promise<kj::Own<TlsStream>> { return kj::mv(slot); },
            [this, &slot](kj::Exception&& refusal) -> kj::Promise<kj::Own<TlsStream>> {
              linger(kj::mv(slot));
              if (refusal_of(refusal) != nullptr) return kj::mv(refusal);
              return refusal_exception(Refusal::closed, refusal.getDescription().cStr());
            })
      .attach(kj::mv(kept));
}

void TlsContext::linger(kj::Own<TlsStream> stream) {
  if (lingering_ >= kMostLingering) return;
  ++lingering_;
  auto farewell = kj::evalNow([&] { return timer_.timeoutAfter(duration(1), stream->linger()); });
  farewells_.add(farewell.attach(kj::defer([this] { --lingering_; }), kj::mv(stream)));
}

}  // namespace troupe::wire
