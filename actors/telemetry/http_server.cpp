#include "actors/telemetry/http_server.hpp"

#include <CivetServer.h>

#include <chrono>
#include <future>
#include <list>
#include <netdb.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe {

namespace {

class PageHandler : public CivetHandler {
 public:
  explicit PageHandler(HttpServer::Page page) : page_(std::move(page)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    return answer(connection, true);
  }
  bool handleHead(CivetServer*, mg_connection* connection) override {
    return answer(connection, false);
  }

 private:
  bool answer(mg_connection* connection, bool with_body) const {
    const HttpReply reply = page_();
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
              "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
              "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
              "Connection: close\r\n\r\n",
              reply.status, mg_get_response_code_text(connection, reply.status),
              reply.content_type.c_str(), reply.body.size());
    if (with_body) mg_write(connection, reply.body.data(), reply.body.size());
    return true;
  }

  HttpServer::Page page_;
};

std::string listening(const std::string& address, int port) {
  const bool ipv6 = address.find(':') != std::string::npos && address.front() != '[';
  return (ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

int keep_quiet(const mg_connection*, const char*) {
  return 1;
}  // errors are thrown instead

/// One connection, closed at once. What comes of it does not matter.
void knock(const std::string& address, int port) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  wanted.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) return;
  const int socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket >= 0) {
    static_cast<void>(::connect(socket, found->ai_addr, found->ai_addrlen));
    ::close(socket);
  }
  freeaddrinfo(found);
}

}  // namespace

struct HttpServer::State {
  std::string address;
  std::list<PageHandler> handlers;  // must outlive the server
  std::unique_ptr<CivetServer> server;
};

HttpServer::HttpServer(const std::string& address, int port,
                       const std::map<std::string, Page>& pages)
    : state_(std::make_unique<State>()) {
  state_->address = address;
  const std::string where = listening(address, port);
  CivetCallbacks callbacks;
  callbacks.log_message = keep_quiet;
  try {
    state_->server = std::make_unique<CivetServer>(
        std::vector<std::string>{"listening_ports", where, "num_threads", "8", "request_timeout_ms",
                                 "1000", "enable_directory_listing", "no"},
        &callbacks);
  } catch (const CivetException&) {
    throw std::runtime_error("cannot serve metrics on " + where +
                             ": the port is taken or the address is not of this machine; set "
                             "metrics.port and metrics.address");
  }
  for (const auto& [path, page] : pages)
    state_->server->addHandler(path + "$", state_->handlers.emplace_back(page));
}

HttpServer::~HttpServer() {
  // CivetWeb's listening thread looks every two seconds whether it is to stop, or when somebody
  // comes: so somebody comes until it has.
  constexpr std::chrono::milliseconds kInterval{5};
  const int bound = port();
  const auto closed =
      std::async(std::launch::async, [this] { state_->server->close(); });  // waits for handlers
  while (closed.wait_for(kInterval) != std::future_status::ready) knock(state_->address, bound);
}

int HttpServer::port() const {
  return state_->server->getListeningPorts().at(0);
}

}  // namespace troupe
