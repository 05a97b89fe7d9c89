#pragma once
// A few read-only pages on one port, for Prometheus, probes and people.
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe {

struct HttpReply {
  int status = 200;
  std::string content_type, body;
};

/// Serves until destroyed, on threads of its own: pages must be safe from any thread. A request
/// that is not complete within a second is dropped, so half-sent ones cannot hold the threads.
class HttpServer {
 public:
  using Page = std::function<HttpReply()>;
  /// pages: by path ("/metrics"). port 0: the system chooses one.
  /// Errors: throws std::runtime_error naming address and port if it cannot bind.
  HttpServer(const std::string& address, int port, const std::map<std::string, Page>& pages);
  ~HttpServer();     // waits for pages under way; else it takes milliseconds
  int port() const;  // the bound one

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace troupe
