#include "actors/telemetry/http_server.hpp"

#include <CivetServer.h>

#include <condition_variable>
#include <future>
#include <list>
#include <mutex>
#include <netdb.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe {

namespace {

constexpr int kPageThreads = 8;

void write_head(mg_connection* connection, int status, const std::string& content_type,
                const std::map<std::string, std::string>& headers) {
  std::map<std::string, std::string> all = {
      {"Cache-Control", "no-store"},
      {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Connection", "close"}};
  for (const auto& [name, value] : headers) all[name] = value;
  std::string text = "HTTP/1.1 " + std::to_string(status) + " " +
                     mg_get_response_code_text(connection, status) +
                     "\r\nContent-Type: " + content_type + "\r\n";
  for (const auto& [name, value] : all) text.append(name).append(": ").append(value).append("\r\n");
  text += "\r\n";
  mg_write(connection, text.data(), text.size());
}

HttpRequest request_of(mg_connection* connection) {
  const mg_request_info& info = *mg_get_request_info(connection);
  const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
  return {text(info.request_method), text(info.local_uri), text(info.query_string),
          [connection, text](const char* name) { return text(mg_get_header(connection, name)); }};
}

bool answer(mg_connection* connection, const HttpReply& reply, bool with_body) {
  auto headers = reply.headers;
  headers["Content-Length"] = std::to_string(reply.body.size());
  write_head(connection, reply.status, reply.content_type, headers);
  if (with_body) mg_write(connection, reply.body.data(), reply.body.size());
  return true;
}

class PageHandler : public CivetHandler {
 public:
  explicit PageHandler(HttpServer::Page page) : page_(std::move(page)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    return answer(connection, page_(), true);
  }
  bool handleHead(CivetServer*, mg_connection* connection) override {
    return answer(connection, page_(), false);
  }

 private:
  HttpServer::Page page_;
};

class AnyHandler : public CivetHandler {
 public:
  explicit AnyHandler(HttpServer::Handler handler) : handler_(std::move(handler)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override { return handle(connection); }
  bool handleHead(CivetServer*, mg_connection* connection) override { return handle(connection); }
  bool handlePost(CivetServer*, mg_connection* connection) override { return handle(connection); }

 private:
  bool handle(mg_connection* connection) const {
    const HttpRequest request = request_of(connection);
    return answer(connection, handler_(request), request.method != "HEAD");
  }

  HttpServer::Handler handler_;
};

/// Who streams, and whether they are to end.
struct Streams {
  std::mutex mutex;
  std::condition_variable changed;
  int open = 0;
  bool ending = false;
};

class StreamHandler : public CivetHandler {
 public:
  StreamHandler(Streams& streams, std::chrono::milliseconds interval,
                std::function<std::string()> event, HttpServer::Handler admit)
      : streams_(streams),
        interval_(interval),
        event_(std::move(event)),
        admit_(std::move(admit)) {}

  bool handleGet(CivetServer*, mg_connection* connection) override {
    if (const HttpReply refused = admit_(request_of(connection)); refused.status != 200)
      return answer(connection, refused, true);
    {
      const std::lock_guard lock(streams_.mutex);
      if (streams_.open == HttpServer::kMostStreams)
        return answer(connection, {503, "text/plain", "too many streams\n", {{"Retry-After", "5"}}},
                      true);
      ++streams_.open;
    }
    write_head(connection, 200, "text/event-stream", {});
    send_until_ended(connection);
    const std::lock_guard lock(streams_.mutex);
    --streams_.open;
    return true;
  }

 private:
  void send_until_ended(mg_connection* connection) {
    bool ended = false;
    while (!ended) {
      const std::string text = "data: " + event_() + "\n\n";
      if (mg_write(connection, text.data(), text.size()) <= 0) return;
      std::unique_lock lock(streams_.mutex);
      ended = streams_.changed.wait_for(lock, interval_, [this] { return streams_.ending; });
    }
  }

  Streams& streams_;
  const std::chrono::milliseconds interval_;
  const std::function<std::string()> event_;
  const HttpServer::Handler admit_;
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
  Streams streams;
  std::list<std::unique_ptr<CivetHandler>> handlers;  // must outlive the server
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
        std::vector<std::string>{"listening_ports", where, "num_threads",
                                 std::to_string(kPageThreads + kMostStreams), "request_timeout_ms",
                                 "1000", "enable_directory_listing", "no"},
        &callbacks);
  } catch (const CivetException&) {
    throw std::runtime_error("cannot serve metrics on " + where +
                             ": the port is taken or the address is not of this machine; set "
                             "metrics.port and metrics.address");
  }
  for (const auto& [path, page] : pages)
    state_->server->addHandler(path + "$",
                               *state_->handlers.emplace_back(std::make_unique<PageHandler>(page)));
}

void HttpServer::add(const std::string& pattern, Handler handler) {
  state_->server->addHandler(
      pattern, *state_->handlers.emplace_back(std::make_unique<AnyHandler>(std::move(handler))));
}

void HttpServer::add_stream(const std::string& path, std::chrono::milliseconds interval,
                            std::function<std::string()> event, Handler admit) {
  state_->server->addHandler(path + "$",
                             *state_->handlers.emplace_back(std::make_unique<StreamHandler>(
                                 state_->streams, interval, std::move(event), std::move(admit))));
}

HttpServer::~HttpServer() {
  {
    const std::lock_guard lock(state_->streams.mutex);
    state_->streams.ending = true;
  }
  state_->streams.changed.notify_all();
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
