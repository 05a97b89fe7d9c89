// usage: chaos_proxy PORT_FILE TARGET_PORT SEED
// A TCP proxy on the loopback address that makes the weather which it reads, line by line, from its standard input:
// what weather.hpp says, and
//   reset            ends all connections with a reset
//   refuse on|off    closes new connections at once
//   reorder SECONDS  each new connection waits up to that long before it goes on, so that they arrive in another order
// It ends with its input. PORT_FILE: where it writes the port that it took. What it does goes to standard output.
#include "tests/chaos/weather.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <list>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace troupe::chaos {
namespace {

constexpr std::size_t kMostHeld = 1 << 20;  // bytes of one direction; then it is not read
constexpr std::size_t kChunk = 16 << 10;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

struct Chunk {
  double due;
  std::string bytes;
};

/// Bytes from one socket to the other.
struct Direction {
  const char* name;
  Weather& weather;
  Passage passage;
  int from = -1, to = -1;
  std::deque<Chunk> held;
  std::size_t held_bytes = 0;
  bool ended = false, closed = false;  // the sender is done; the receiver knows

  bool wants_to_read() const { return !ended && !weather.cut && held_bytes < kMostHeld; }
  bool wants_to_write(double time) const {
    return !weather.cut && !held.empty() && held.front().due <= time;
  }
};

struct Connection {
  int number;
  double dial_at;
  int client, server = -1;
  Direction up, down;
  bool over = false;
};

class Proxy {
 public:
  Proxy(int target_port, std::uint64_t seed) : target_port_(target_port), random_(seed) {}
  int listen();
  void run();

 private:
  void command(const std::string& line);
  bool read_commands();
  void accept();
  void dial(Connection& connection);
  void read(Connection& connection, Direction& direction);
  void write(Connection& connection, Direction& direction);
  void reset(Connection& connection);
  int milliseconds_to_wait() const;
  void step();

  const int target_port_;
  std::mt19937_64 random_;
  int listener_ = -1, next_number_ = 0;
  Weather up_, down_;
  bool refusing_ = false;
  double reorder_ = 0;
  std::string input_;
  std::list<Connection> connections_;
};

int Proxy::listen() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || bind(listener_, any, size) != 0 || ::listen(listener_, SOMAXCONN) != 0)
    fail("cannot listen");
  getsockname(listener_, any, &size);
  return ntohs(address.sin_port);
}

void Proxy::command(const std::string& line) {
  if (line == "reset") {
    for (Connection& connection : connections_) reset(connection);
  } else if (line.rfind("refuse ", 0) == 0) {
    refusing_ = line == "refuse on";
  } else if (line.rfind("reorder ", 0) == 0) {
    reorder_ = std::stod(line.substr(8));
  } else {
    apply(line, up_, down_);
  }
  std::cout << "did " << line << std::endl;
}

/// False at the end of the input.
bool Proxy::read_commands() {
  char bytes[4096];
  const ssize_t size = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (size <= 0) return false;
  input_.append(bytes, static_cast<std::size_t>(size));
  for (std::size_t end; (end = input_.find('\n')) != std::string::npos; input_.erase(0, end + 1))
    command(input_.substr(0, end));
  return true;
}

void Proxy::accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  if (refusing_) {
    close(client);
    std::cout << "refused a connection" << std::endl;
    return;
  }
  const double wait = reorder_ * std::uniform_real_distribution<double>(0, 1)(random_);
  connections_.push_back({next_number_++, now() + wait, client, -1,
                          Direction{"up", up_, Passage(random_()), -1, -1, {}, 0, false, false},
                          Direction{"down", down_, Passage(random_()), -1, -1, {}, 0, false, false},
                          false});
}

void Proxy::dial(Connection& connection) {
  connection.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(target_port_);
  if (connect(connection.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return reset(connection);
  fcntl(connection.server, F_SETFL, O_NONBLOCK);
  const int at_once = 1;  // the weather is ours, not Nagle's
  for (const int socket : {connection.client, connection.server})
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  connection.up.from = connection.down.to = connection.client;
  connection.up.to = connection.down.from = connection.server;
  std::cout << "opened " << connection.number << std::endl;
}

void Proxy::read(Connection& connection, Direction& direction) {
  std::string bytes(kChunk, '\0');
  const ssize_t size = ::read(direction.from, bytes.data(), bytes.size());
  if (size < 0 && errno != EAGAIN) return reset(connection);
  if (size < 0) return;
  direction.ended = size == 0;
  if (direction.ended) return;
  bytes.resize(static_cast<std::size_t>(size));
  if (direction.passage.damage(bytes, direction.weather))
    std::cout << "damaged " << connection.number << " " << direction.name << std::endl;
  const double due = direction.passage.due(now(), bytes.size(), direction.weather);
  direction.held_bytes += bytes.size();
  direction.held.push_back({due, std::move(bytes)});
}

void Proxy::write(Connection& connection, Direction& direction) {
  Chunk& chunk = direction.held.front();
  const ssize_t size =
      send(direction.to, chunk.bytes.data(), chunk.bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (size < 0 && errno != EAGAIN) return reset(connection);
  if (size < 0) return;
  direction.held_bytes -= static_cast<std::size_t>(size);
  chunk.bytes.erase(0, static_cast<std::size_t>(size));
  if (chunk.bytes.empty()) direction.held.pop_front();
}

void Proxy::reset(Connection& connection) {
  connection.over = true;
  const linger now_and_hard{1, 0};
  for (const int socket : {connection.client, connection.server}) {
    if (socket < 0) continue;
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &now_and_hard, sizeof now_and_hard);
    close(socket);
  }
  connection.client = connection.server = -1;
  std::cout << "ended " << connection.number << std::endl;
}

int Proxy::milliseconds_to_wait() const {
  constexpr double kLongest = 0.1;
  double next = now() + kLongest;
  for (const Connection& connection : connections_) {
    if (connection.server < 0) next = std::min(next, connection.dial_at);
    for (const Direction* direction : {&connection.up, &connection.down})
      if (!direction->weather.cut && !direction->held.empty())
        next = std::min(next, direction->held.front().due);
  }
  return std::max(0, static_cast<int>((next - now()) * 1e3) + 1);
}

/// What is due.
void Proxy::step() {
  for (Connection& connection : connections_) {
    if (!connection.over && connection.server < 0 && connection.dial_at <= now()) dial(connection);
    for (Direction* direction : {&connection.up, &connection.down}) {
      if (connection.over || connection.server < 0) continue;
      if (direction->wants_to_write(now())) write(connection, *direction);
      const bool done = direction->ended && direction->held.empty() && !direction->weather.cut;
      if (connection.over || !done || direction->closed) continue;
      shutdown(direction->to, SHUT_WR);
      direction->closed = true;
    }
    if (!connection.over && connection.up.closed && connection.down.closed) reset(connection);
  }
  connections_.remove_if([](const Connection& connection) { return connection.over; });
}

void Proxy::run() {
  while (true) {
    std::vector<pollfd> watched = {{STDIN_FILENO, POLLIN, 0}, {listener_, POLLIN, 0}};
    std::vector<std::pair<Connection*, Direction*>> readers;
    for (Connection& connection : connections_) {
      for (Direction* direction : {&connection.up, &connection.down}) {
        if (direction->from < 0 || !direction->wants_to_read()) continue;
        watched.push_back({direction->from, POLLIN, 0});
        readers.emplace_back(&connection, direction);
      }
    }
    poll(watched.data(), watched.size(), milliseconds_to_wait());
    for (std::size_t i = 0; i < readers.size(); ++i)
      if (watched[i + 2].revents != 0 && !readers[i].first->over)
        read(*readers[i].first, *readers[i].second);
    if (watched[1].revents != 0) accept();
    if (watched[0].revents != 0 && !read_commands()) return;
    step();
  }
}

int serve(const std::filesystem::path& port_file, int target_port, std::uint64_t seed) {
  std::signal(SIGPIPE, SIG_IGN);
  Proxy proxy(target_port, seed);
  const int port = proxy.listen();
  std::ofstream(port_file.string() + ".tmp") << port << "\n";
  std::filesystem::rename(port_file.string() + ".tmp", port_file);
  proxy.run();
  return 0;
}

}  // namespace
}  // namespace troupe::chaos

int main(int count, char** words) {
  if (count != 4) {
    std::cerr << "usage: chaos_proxy PORT_FILE TARGET_PORT SEED\n";
    return 2;
  }
  try {
    return troupe::chaos::serve(words[1], std::stoi(words[2]), std::stoull(words[3]));
  } catch (const std::exception& error) {
    std::cerr << "chaos_proxy: " << error.what() << "\n";
    return 1;
  }
}
