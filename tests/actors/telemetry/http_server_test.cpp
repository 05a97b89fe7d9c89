#include "actors/telemetry/http_server.hpp"

#include "tests/actors/telemetry/http_client.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <list>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

HttpServer two_pages() {
  return HttpServer("127.0.0.1", 0,
                    {{"/a",
                      [] {
                        return HttpReply{200, "text/plain", "hello"};
                      }},
                     {"/", [] {
                        return HttpReply{503, "text/html", "root"};
                      }}});
}

}  // namespace

TEST_CASE("a page is served with its status and type and length") {
  const HttpServer server = two_pages();
  const std::string reply = http_get(server.port(), "/a");
  CHECK(reply.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
  CHECK(reply.find("Content-Type: text/plain\r\n") != std::string::npos);
  CHECK(reply.find("Content-Length: 5\r\n") != std::string::npos);
  CHECK(reply.substr(reply.size() - 9) == "\r\n\r\nhello");
  CHECK(http_get(server.port(), "/").rfind("HTTP/1.1 503 Service Unavailable\r\n", 0) == 0);
}

TEST_CASE("a path without a page is not found") {
  const HttpServer server = two_pages();
  CHECK(http_get(server.port(), "/b").rfind("HTTP/1.1 404 ", 0) == 0);
  CHECK(http_get(server.port(), "/a/b").rfind("HTTP/1.1 404 ", 0) == 0);
  CHECK(http_get(server.port(), "/../../etc/passwd").find("root:") == std::string::npos);
}

TEST_CASE("a request for the head alone gets no body") {
  const HttpServer server = two_pages();
  HttpClient client(server.port());
  client.send("HEAD /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string reply = client.receive();
  CHECK(reply.rfind("HTTP/1.1 200 OK\r\n", 0) == 0);
  CHECK(reply.find("hello") == std::string::npos);
}

TEST_CASE("more half-sent requests than threads do not block a whole one") {
  const HttpServer server = two_pages();
  std::list<HttpClient> half;
  for (int i = 0; i < 12; ++i) half.emplace_back(server.port()).send("GET /a HTTP/1.1\r\nHo");
  CHECK(http_get(server.port(), "/a").find("hello") != std::string::npos);
  // The server gave up on them: they end instead of waiting for ever.
  for (HttpClient& client : half) CHECK(client.receive().find("hello") == std::string::npos);
}

TEST_CASE("streams beyond the most are refused and none of them blocks a page") {
  HttpServer server = two_pages();
  server.add_stream(
      "/stream", std::chrono::hours(1), [] { return std::string("hello"); },
      [](const HttpRequest&) {
        return HttpReply{200, "", ""};
      });
  const std::string ask = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::list<HttpClient> open, half;
  for (int i = 0; i < HttpServer::kMostStreams; ++i) {
    open.emplace_back(server.port()).send(ask);
    CHECK(open.back().receive_until("data: hello\n\n").rfind("HTTP/1.1 200 OK", 0) == 0);
  }
  for (int i = 0; i < 12; ++i) half.emplace_back(server.port()).send("GET /stream HTTP/1.1\r\nHo");
  HttpClient beyond(server.port());
  beyond.send(ask);
  CHECK(beyond.receive().rfind("HTTP/1.1 503 ", 0) == 0);
  CHECK(http_get(server.port(), "/a").find("hello") != std::string::npos);
}

TEST_CASE("a stream that nobody reads any more makes room for another") {
  HttpServer server = two_pages();
  server.add_stream(
      "/stream", std::chrono::milliseconds(1), [] { return std::string(1 << 16, 'x'); },
      [](const HttpRequest&) {
        return HttpReply{200, "", ""};
      });
  const std::string ask = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
  {
    std::list<HttpClient> open;
    for (int i = 0; i < HttpServer::kMostStreams; ++i) {
      open.emplace_back(server.port()).send(ask);
      open.back().receive_until("\r\n\r\n");
    }
  }
  std::string answer;
  while (answer.rfind("HTTP/1.1 200", 0) != 0) {
    HttpClient again(server.port());
    again.send(ask);
    answer = again.receive_until("\r\n\r\n");
  }
  CHECK(answer.find("event-stream") != std::string::npos);
}

TEST_CASE("a handler hears the method and the path and the headers") {
  HttpServer server = two_pages();
  server.add("/any/*$", [](const HttpRequest& request) {
    return HttpReply{202,
                     "text/plain",
                     request.method + request.path + request.query + request.header("x-own"),
                     {{"Content-Security-Policy", "default-src 'self'"}}};
  });
  HttpClient client(server.port());
  client.send(
      "POST /any/thing?a=b HTTP/1.1\r\nHost: localhost\r\nX-Own: yes\r\nContent-Length: 0\r\n"
      "Connection: close\r\n\r\n");
  const std::string reply = client.receive();
  CHECK(reply.rfind("HTTP/1.1 202 Accepted\r\n", 0) == 0);
  CHECK(reply.find("Content-Security-Policy: default-src 'self'\r\n") != std::string::npos);
  CHECK(reply.find("unsafe-inline") == std::string::npos);
  CHECK(reply.substr(reply.size() - 20) == "POST/any/thinga=byes");
}

TEST_CASE("a port that is taken is refused by address and port with a remedy") {
  const HttpServer server = two_pages();
  const std::string where = "127.0.0.1:" + std::to_string(server.port());
  CHECK_THROWS_WITH_AS(HttpServer("127.0.0.1", server.port(), {}), doctest::Contains(where.c_str()),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(HttpServer("127.0.0.1", server.port(), {}),
                       doctest::Contains("metrics.port"), std::runtime_error);
}

TEST_CASE("an address that is not of this machine is refused") {
  CHECK_THROWS_WITH_AS(HttpServer("203.0.113.1", 9, {}), doctest::Contains("203.0.113.1:9"),
                       std::runtime_error);
}

TEST_CASE("a server ends long before its listening thread looks up by itself") {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) two_pages();
  // By itself each takes up to two seconds.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
}

}  // namespace troupe
