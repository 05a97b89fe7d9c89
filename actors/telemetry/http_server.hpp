#pragma once
// Pages on one port, for Prometheus, probes and people.
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe {

struct HttpRequest {
  std::string method, path, query;  // query: behind the question mark
  /// Value of a header, whatever the case of its name; "" if it is not there.
  std::function<std::string(const char* name)> header;
};

struct HttpReply {
  int status = 200;
  std::string content_type, body;
  std::map<std::string, std::string> headers{};  // besides those that every reply has
};

/// Serves until destroyed, on threads of its own: pages must be safe from any thread. A request
/// that is not complete within a second is dropped, so half-sent ones cannot hold the threads.
/// Streams have threads set aside, so they cannot hold those of the pages either.
class HttpServer {
 public:
  using Page = std::function<HttpReply()>;
  using Handler = std::function<HttpReply(const HttpRequest&)>;
  static constexpr int kMostStreams = 8;

  /// pages: by path ("/metrics"). port 0: the system chooses one.
  /// Errors: throws std::runtime_error naming address and port if it cannot bind.
  HttpServer(const std::string& address, int port, const std::map<std::string, Page>& pages);
  ~HttpServer();     // waits for pages under way; else it takes milliseconds
  int port() const;  // the bound one

  /// pattern: CivetWeb's ("/api/rollouts/*$"); replaces what was there. Any method is handed over; a body is not read.
  void add(const std::string& pattern, Handler handler);
  /// Server-sent events: the text that `event` gives now and every `interval`. To `admit`'s reply instead, if its status
  /// is not 200; to 503 beyond kMostStreams at once.
  void add_stream(const std::string& path, std::chrono::milliseconds interval,
                  std::function<std::string()> event, Handler admit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace troupe
