#include "messages/wire/tls.hpp"

#include "tests/support/loopback.hpp"

#include <doctest/doctest.h>
#include <openssl/err.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <kj/async-io.h>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

TEST_SUITE_BEGIN("messages/wire");

namespace troupe::wire {
namespace {

using support::CertificateWish;
using support::problem_of;
using support::TestPki;

using Stream = kj::Own<kj::AsyncIoStream>;

/// What each side says of one handshake: "ok", or the word of its refusal, and the whole text.
struct Outcome {
  std::string server, client, server_text, client_text;
};

/// Lets two ends meet and says what each made of it.
struct Meeting : support::Loopback {
  static std::pair<std::string, std::string> verdict(kj::Maybe<kj::Exception> problem) {
    KJ_IF_MAYBE (exception, problem) {
      const std::string text = exception->getDescription().cStr();
      KJ_IF_MAYBE (refusal, refusal_of(*exception)) {
        return {to_string(*refusal), text};
      }
      return {"no refusal", text};
    }
    return {"ok", ""};
  }

  /// Shakes hands; then each side sends a byte and waits for the other's.
  template <class Server, class Client>
  Outcome between(Server&& server, Client&& client) {
    auto [ours, theirs] = sockets();
    const auto talk = [](kj::Own<kj::AsyncIoStream> stream) {
      auto byte = kj::heap<char>('x');
      auto& at = *byte;
      auto& line = *stream;
      return line.write(&at, 1)
          .then([&line, &at] { return line.read(&at, 1); })
          .attach(kj::mv(byte), kj::mv(stream));
    };
    auto served = server(kj::mv(ours)).then(talk).eagerlyEvaluate(nullptr);
    auto dialled = client(kj::mv(theirs)).then(talk).eagerlyEvaluate(nullptr);
    Outcome outcome;
    std::tie(outcome.client, outcome.client_text) =
        verdict(kj::runCatchingExceptions([&] { in_time(kj::mv(dialled)); }));
    std::tie(outcome.server, outcome.server_text) =
        verdict(kj::runCatchingExceptions([&] { in_time(kj::mv(served)); }));
    return outcome;
  }

  Outcome meet(const TlsFiles& server_files, const TlsFiles& client_files,
               const std::string& host = "127.0.0.1", std::vector<std::string> server_wants = {},
               std::vector<std::string> client_wants = {}) {
    TlsContext server(server_files, timer), client(client_files, timer);
    const auto plain = [](kj::Own<TlsStream> stream) -> Stream { return kj::mv(stream); };
    return between(
        [&](Stream s) { return server.accept(kj::mv(s), server_wants).then(plain); },
        [&](Stream s) { return client.connect(kj::mv(s), host, client_wants).then(plain); });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Meeting, "two certificates of the run meet and know each other") {
  TlsContext server(director, timer), client(pki.issue(), timer);
  auto [ours, theirs] = sockets();
  auto accepted = server.accept(kj::mv(ours)).eagerlyEvaluate(nullptr);
  auto connected = in_time(client.connect(kj::mv(theirs), "localhost"));
  auto served = in_time(kj::mv(accepted));
  CHECK(served->peer().role == "generator");
  CHECK(served->peer().name == "gen-0");
  CHECK(served->peer().hosts == std::vector<std::string>{"localhost", "127.0.0.1"});
  CHECK(connected->peer().role == "director");
  CHECK(client.self().name == "gen-0");
}

TEST_CASE_FIXTURE(Meeting, "host names and addresses are those in the certificate") {
  const auto named = pki.issue({.uri = "troupe://director/main", .hosts = "DNS:director.example"});
  CHECK(meet(named, pki.issue(), "director.example").client == "ok");
  CHECK(meet(director, pki.issue(), "127.0.0.1").client == "ok");
  const auto refused = meet(named, pki.issue(), "127.0.0.1");
  CHECK(refused.client == "wrong_host");
  CHECK(refused.client_text.find("director.example") != std::string::npos);
  CHECK(refused.client_text.find("127.0.0.1 was dialled") != std::string::npos);
  CHECK(refused.server == "wrong_host");
  CHECK(meet(named, pki.issue(), "other.example").client == "wrong_host");
}

TEST_CASE_FIXTURE(Meeting, "a certificate of a foreign authority is refused on both sides") {
  TestPki foreign("foreign");
  auto files = foreign.issue();
  files.ca = director.ca;  // it would trust the director
  files.crl = director.crl;
  const auto client = meet(director, files);
  CHECK(client.server == "foreign_ca");
  CHECK(client.client == "foreign_ca");
  CHECK(client.client_text.find("refuses us") != std::string::npos);
  auto server_files = foreign.issue({.uri = "troupe://director/main"});
  const auto server = meet(server_files, pki.issue());
  CHECK(server.client == "foreign_ca");
  CHECK(server.server == "foreign_ca");
}

TEST_CASE_FIXTURE(Meeting, "dates count on both sides") {
  const CertificateWish old{.begins_seconds = -3600, .ends_seconds = -60};
  const CertificateWish early{.begins_seconds = 3600, .ends_seconds = 7200};
  const auto expired = meet(director, pki.issue(old));
  CHECK(expired.server == "expired");
  CHECK(expired.client == "expired");
  const auto unripe = meet(director, pki.issue(early));
  CHECK(unripe.server == "not_yet_valid");
  CHECK(unripe.client == "not_yet_valid");
  CHECK(meet(pki.issue(old), pki.issue()).client == "expired");
  CHECK(meet(pki.issue(early), pki.issue()).client == "not_yet_valid");
}

TEST_CASE_FIXTURE(Meeting, "the wrong role is refused on both sides") {
  const auto outcome = meet(director, pki.issue(), "127.0.0.1", {"learner", "verifier"});
  CHECK(outcome.server == "wrong_role");
  CHECK(outcome.server_text.find("generator gen-0") != std::string::npos);
  CHECK(outcome.client == "wrong_role");
  const auto reverse =
      meet(pki.issue({.uri = "troupe://verifier/v"}), pki.issue(), "127.0.0.1", {}, {"director"});
  CHECK(reverse.client == "wrong_role");
  CHECK(reverse.server == "wrong_role");
  CHECK(meet(director, pki.issue(), "127.0.0.1", {"generator"}, {"director"}).client == "ok");
}

TEST_CASE_FIXTURE(Meeting, "a certificate without exactly one name of Troupe is refused") {
  for (const auto* uri : {"https://example.org", "troupe://generator/a troupe://learner/b",
                          "troupe://owner/gen-0", "troupe://generator/", "troupe://generator",
                          "troupe://generator/a/b", "troupe:generator/a"}) {
    CAPTURE(uri);
    auto nameless = pki.issue({.uri = uri});
    // Our own context refuses such a file, so the client is bare OpenSSL with it.
    CHECK(problem_of([&] { TlsContext context(nameless, timer); }).find("no_identity") !=
          std::string::npos);
  }
}

TEST_CASE_FIXTURE(Meeting, "the extended key usage counts on both sides") {
  const auto only_server = pki.issue({.use = "serverAuth"});
  const auto outcome = meet(director, only_server);
  CHECK(outcome.server == "wrong_use");
  CHECK(outcome.client == "wrong_use");
  const auto only_client = pki.issue({.uri = "troupe://director/main", .use = "clientAuth"});
  CHECK(meet(only_client, pki.issue()).client == "wrong_use");
}

TEST_CASE_FIXTURE(Meeting, "a peer without a host is known by its role and name or its pool") {
  const auto meets = [&](const TlsFiles& there, const std::string& role, const std::string& name) {
    TlsContext server(there, timer);
    TlsContext client(pki.issue(), timer);
    const auto plain = [](kj::Own<TlsStream> stream) -> Stream { return kj::mv(stream); };
    return between([&](Stream s) { return server.accept(kj::mv(s)).then(plain); },
                   [&](Stream s) { return client.connect_to(kj::mv(s), role, name).then(plain); })
        .client;
  };
  const auto one = pki.issue({.uri = "troupe://generator/gen-1"});
  CHECK(meets(one, "generator", "gen-1") == "ok");
  CHECK(meets(one, "generator", "gen-2") == "wrong_host");
  CHECK(meets(one, "broadcaster", "gen-1") == "wrong_role");
  const auto pool = pki.issue({.uri = "troupe://generator/gen-*"});
  CHECK(meets(pool, "generator", "gen-7") == "ok");
  CHECK(meets(pool, "generator", "other-7") == "wrong_host");
}

TEST_CASE_FIXTURE(Meeting, "a revoked certificate is refused and an old list still counts") {
  const auto good = pki.issue(), bad = pki.issue();
  CHECK(meet(director, bad).server == "ok");
  pki.revoke({bad});
  const auto outcome = meet(director, bad);
  CHECK(outcome.server == "revoked");
  // The client has the list too, but nobody checks one's own certificate: it learns by the alert.
  CHECK(outcome.client == "revoked");
  CHECK(meet(director, good).server == "ok");
  pki.revoke({bad}, -30);
  CHECK(meet(director, bad).server == "revoked");
  CHECK(meet(director, good).server == "ok");
}

TEST_CASE_FIXTURE(Meeting, "changed files are read before the next handshake") {
  const auto bad = pki.issue();
  TlsContext server(director, timer);
  TlsContext client(bad, timer);
  const auto plain = [](kj::Own<TlsStream> stream) -> Stream { return kj::mv(stream); };
  const auto again = [&] {
    return between([&](Stream s) { return server.accept(kj::mv(s)).then(plain); },
                   [&](Stream s) { return client.connect(kj::mv(s), "127.0.0.1").then(plain); });
  };
  CHECK(again().server == "ok");
  pki.revoke({bad});
  CHECK(again().server == "revoked");
  write_file(director.crl, "no list");
  CHECK(again().server == "revoked");  // the old one serves on
  CHECK(server.reload_problem().find(director.crl) != std::string::npos);
  std::filesystem::remove(director.crl);
  CHECK(again().server == "revoked");  // a list that is gone lets nobody in
  CHECK(server.reload_problem().find("no such file") != std::string::npos);
  pki.revoke({});
  CHECK(again().server == "ok");
  CHECK(server.reload_problem().empty());
}

TEST_CASE_FIXTURE(Meeting, "only who is told that there is no list goes without one") {
  const auto bad = pki.issue();
  pki.revoke({bad});
  auto unlisted = director;
  unlisted.crl.clear();
  CHECK(meet(unlisted, bad).server == "ok");
  std::filesystem::remove(director.crl);
  CHECK(problem_of([&] { TlsContext context(director, timer); }).find("no such file") !=
        std::string::npos);
}

TEST_CASE_FIXTURE(Meeting, "bad files are named together with the remedy") {
  const auto good = pki.issue();
  const auto text_of = [&](TlsFiles files) {
    return problem_of([&] { TlsContext context(files, timer); });
  };
  auto files = good;
  files.ca = pki.path("none.pem");
  CHECK(text_of(files).find("none.pem") != std::string::npos);
  CHECK(text_of(files).find("troupe pki init") != std::string::npos);
  files = good;
  files.key = pki.issue().key;
  CHECK(text_of(files).find(files.key) != std::string::npos);
  files = good;
  write_file(pki.path("junk.pem"), "junk");
  files.certificate = pki.path("junk.pem");
  CHECK(text_of(files).find("junk.pem") != std::string::npos);
  files = good;
  files.crl = pki.path("junk.pem");
  CHECK(text_of(files).find("must be a PEM CRL") != std::string::npos);
}

namespace {

/// A client that is not ours: bare OpenSSL, with what it is told and no scruples.
SslContext bare_client(const TlsFiles* files, int version) {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), version);
  if (files != nullptr) {
    SSL_CTX_use_certificate_chain_file(context.get(), files->certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context.get(), files->key.c_str(), SSL_FILETYPE_PEM);
  }
  return context;
}

/// What the server says to a bare client; the client talks from memory to memory.
std::string served(Meeting& world, const TlsFiles* files, int version) {
  TlsContext server(world.director, world.timer);
  auto context = bare_client(files, version);
  std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context.get()));
  auto* in = BIO_new(BIO_s_mem());
  auto* out = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_connect_state(ssl.get());
  auto [ours, theirs] = world.sockets();
  auto answer = server.accept(kj::mv(ours)).ignoreResult().eagerlyEvaluate(nullptr);
  std::array<char, 16384> bytes{};
  for (int turn = 0; turn < 3; ++turn) {
    SSL_do_handshake(ssl.get());
    const int size = BIO_read(out, bytes.data(), bytes.size());
    if (size > 0) world.in_time(theirs->write(bytes.data(), size));
    if (SSL_is_init_finished(ssl.get())) break;
    const auto got = world.in_time(theirs->tryRead(bytes.data(), 1, bytes.size()));
    if (got == 0) break;
    BIO_write(in, bytes.data(), static_cast<int>(got));
  }
  return Meeting::verdict(kj::runCatchingExceptions([&] { world.in_time(kj::mv(answer)); })).first;
}

}  // namespace

TEST_CASE_FIXTURE(Meeting, "a client without a good name is told apart from one without papers") {
  const auto good = pki.issue();
  CHECK(served(*this, &good, TLS1_3_VERSION) == "ok");
  CHECK(served(*this, nullptr, TLS1_3_VERSION) == "no_certificate");
  CHECK(served(*this, &good, TLS1_2_VERSION) == "old_tls");
  for (const auto* uri : {"", "troupe://generator/a troupe://learner/b", "troupe://owner/gen-0"}) {
    const auto nameless = pki.issue({.uri = uri});
    CHECK(served(*this, &nameless, TLS1_3_VERSION) == "no_identity");
  }
}

TEST_CASE_FIXTURE(Meeting, "plain text to the port and a plain server are named") {
  TlsContext context(director, timer);
  const auto plain = [](kj::Own<TlsStream> stream) -> Stream { return kj::mv(stream); };
  const auto write = [](const std::string& text) {
    return [text](Stream stream) {
      auto done = stream->write(text.data(), text.size());
      return done.then([stream = kj::mv(stream)]() mutable { return kj::mv(stream); });
    };
  };
  const auto tls_server = [&](Stream s) { return context.accept(kj::mv(s)).then(plain); };
  CHECK(between(tls_server, write("GET / HTTP/1.0\r\n\r\n")).server == "plain_text");
  CHECK(between(tls_server, write(std::string(64, '\0'))).server == "plain_text");
  CHECK(between(write("220 mail.example ready\r\n"), [&](Stream s) {
          return context.connect(kj::mv(s), "127.0.0.1").then(plain);
        }).client == "plain_text");
}

TEST_CASE_FIXTURE(Meeting, "a peer that hangs up in the handshake is named") {
  TlsContext context(director, timer);
  auto [ours, theirs] = sockets();
  auto answer = context.accept(kj::mv(ours)).eagerlyEvaluate(nullptr);
  theirs = nullptr;
  const auto said = verdict(kj::runCatchingExceptions([&] { in_time(kj::mv(answer)); }));
  CHECK(said.first == "closed");
}

namespace {

/// Changes one byte of what passes, once.
class Corruptor final : public kj::AsyncIoStream {
 public:
  explicit Corruptor(Stream inner) : inner_(kj::mv(inner)) {}
  kj::Promise<std::size_t> tryRead(void* to, std::size_t least, std::size_t most) override {
    return inner_->tryRead(to, least, most).then([this, to](std::size_t size) {
      if (spoil && size > 10) static_cast<kj::byte*>(to)[size - 1] ^= 1;
      return size;
    });
  }
  kj::Promise<void> write(const void* from, std::size_t size) override {
    return inner_->write(from, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  bool spoil = false;

 private:
  Stream inner_;
};

/// Two TLS streams that have met.
struct Pair {
  explicit Pair(Meeting& world)
      : server(world.director, world.timer), client(world.pki.issue(), world.timer) {
    auto [ours, theirs] = world.sockets();
    auto passing = kj::heap<Corruptor>(kj::mv(ours));
    corruptor = passing.get();
    auto accepted = server.accept(kj::mv(passing)).eagerlyEvaluate(nullptr);
    near = world.in_time(client.connect(kj::mv(theirs), "127.0.0.1"));
    far = world.in_time(kj::mv(accepted));
  }
  TlsContext server, client;
  Corruptor* corruptor = nullptr;
  kj::Own<TlsStream> near, far;
};

}  // namespace

TEST_CASE_FIXTURE(Meeting, "megabytes pass both ways unharmed and in order") {
  Pair pair(*this);
  std::string sent(5 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761u >> 13);
  const auto pass = [&](TlsStream& from, TlsStream& to) {
    std::string got(sent.size(), '\0');
    auto writing = from.write(sent.data(), sent.size()).eagerlyEvaluate(nullptr);
    in_time(to.read(got.data(), got.size()));
    in_time(kj::mv(writing));
    return got == sent;
  };
  CHECK(pass(*pair.near, *pair.far));
  CHECK(pass(*pair.far, *pair.near));
}

TEST_CASE_FIXTURE(Meeting, "reads of zero bytes and empty writes are harmless") {
  Pair pair(*this);
  char byte = 0;
  CHECK(in_time(pair.far->tryRead(&byte, 0, 0)) == 0);
  in_time(pair.near->write(&byte, 0));
  in_time(pair.near->write(nullptr));
  CHECK(in_time(pair.far->tryRead(&byte, 0, 0)) == 0);
  in_time(pair.near->write("z", 1));
  CHECK(in_time(pair.far->tryRead(&byte, 1, 1)) == 1);
  CHECK(byte == 'z');
}

TEST_CASE_FIXTURE(Meeting, "a corrupted record ends the stream with an error") {
  Pair pair(*this);
  pair.corruptor->spoil = true;
  in_time(pair.near->write("hello hello", 11));
  char bytes[16];
  const auto said =
      verdict(kj::runCatchingExceptions([&] { in_time(pair.far->tryRead(bytes, 1, 16)); }));
  CHECK(said.first == "failed");
  CHECK(said.second.find("not good TLS") != std::string::npos);
}

TEST_CASE_FIXTURE(Meeting, "a goodbye and a sudden end both read as the end") {
  Pair polite(*this), rude(*this);
  char byte = 0;
  polite.near->shutdownWrite();
  CHECK(in_time(polite.far->tryRead(&byte, 1, 1)) == 0);
  rude.near = nullptr;
  CHECK(in_time(rude.far->tryRead(&byte, 1, 1)) == 0);
}

TEST_CASE_FIXTURE(Meeting, "an error that others left behind is not taken for one of the stream") {
  Pair pair(*this);
  char byte = 0;
  auto reading = pair.far->tryRead(&byte, 1, 1).eagerlyEvaluate(nullptr);
  ERR_raise(ERR_LIB_USER, ERR_R_FATAL);
  auto again = pair.near->tryRead(&byte, 1, 1).eagerlyEvaluate(nullptr);  // has to wait
  ERR_raise(ERR_LIB_USER, ERR_R_FATAL);
  in_time(pair.near->write("z", 1));
  ERR_raise(ERR_LIB_USER, ERR_R_FATAL);
  CHECK(in_time(kj::mv(reading)) == 1);
  in_time(pair.far->write("y", 1));
  CHECK(in_time(kj::mv(again)) == 1);
  ERR_clear_error();
  CHECK(served(*this, nullptr, TLS1_3_VERSION) == "no_certificate");
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE_FIXTURE(Meeting, "a refused client learns why also when it has sent much already") {
  const auto bad = pki.issue();
  pki.revoke({bad});
  TlsContext server(director, timer), client(bad, timer);
  auto [ours, theirs] = sockets();
  auto accepted = server.accept(kj::mv(ours)).ignoreResult().eagerlyEvaluate(nullptr);
  auto line = in_time(client.connect(kj::mv(theirs), "127.0.0.1"));
  const std::string much(64 << 10, 'x');
  in_time(line->write(much.data(), much.size()));
  CHECK(verdict(kj::runCatchingExceptions([&] { in_time(kj::mv(accepted)); })).first == "revoked");
  in_time(line->write(much.data(), much.size()));  // the server still listens, so this is no error
  in_time(line->write(much.data(), much.size()));
  char byte = 0;
  const auto told =
      verdict(kj::runCatchingExceptions([&] { in_time(line->tryRead(&byte, 1, 1)); }));
  CHECK(told.first == "revoked");
}

namespace {

/// Flips one bit somewhere in what passes from one end to the other.
class BitFlip final : public kj::AsyncIoStream {
 public:
  BitFlip(Stream inner, std::size_t byte, int bit)
      : inner_(kj::mv(inner)), left_(byte), bit_(bit) {}
  kj::Promise<std::size_t> tryRead(void* to, std::size_t least, std::size_t most) override {
    return inner_->tryRead(to, least, most).then([this, to](std::size_t size) {
      if (left_ < size) static_cast<kj::byte*>(to)[left_] ^= static_cast<kj::byte>(1 << bit_);
      left_ = left_ < size ? SIZE_MAX : left_ - size;
      return size;
    });
  }
  kj::Promise<void> write(const void* from, std::size_t size) override {
    return inner_->write(from, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }

 private:
  Stream inner_;
  std::size_t left_;
  const int bit_;
};

}  // namespace

TEST_CASE("a flipped bit anywhere is noticed and never changes what is read") {
  support::VirtualLoop world;
  TestPki pki;
  TlsContext server(pki.issue({.uri = "troupe://director/main"}), world.timer);
  TlsContext client(pki.issue(), world.timer);
  std::mt19937_64 dice(11);
  int noticed = 0;
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    auto pipe = kj::newTwoWayPipe();
    auto& spoilt = pipe.ends[round % 2];
    spoilt = kj::heap<BitFlip>(kj::mv(spoilt), dice() % 4000, static_cast<int>(dice() % 8));
    const std::string sent(3000, static_cast<char>('a' + round % 26));
    std::string got[2];
    int good = 0;
    const auto talk = [&](kj::Promise<kj::Own<TlsStream>> met, std::string& into) {
      return met
          .then([&](kj::Own<TlsStream> stream) {
            into.assign(sent.size(), '\0');
            auto& line = *stream;
            auto both = kj::heapArrayBuilder<kj::Promise<void>>(2);  // a pipe holds nothing
            both.add(line.write(sent.data(), sent.size()));
            both.add(line.read(into.data(), into.size()));
            return kj::joinPromises(both.finish()).attach(kj::mv(stream));
          })
          .then(
              [&] {
                CHECK(into == sent);
                ++good;
              },
              [](kj::Exception&&) {})
          .eagerlyEvaluate(nullptr);
    };
    auto near = talk(client.connect(kj::mv(pipe.ends[0]), "127.0.0.1"), got[0]);
    auto far = talk(server.accept(kj::mv(pipe.ends[1])), got[1]);
    world.wait.poll();  // what waits for ever now waits for bytes that were never sent
    if (good < 2) ++noticed;
    near = nullptr;
    far = nullptr;
    world.advance(1100, 1100);  // farewells end
  }
  CHECK(noticed == 300);
}

}  // namespace troupe::wire
