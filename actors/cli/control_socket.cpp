#include "actors/cli/control_socket.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

namespace troupe {
namespace {

constexpr const char* kName = "control";

/// Calls bind or connect. A path of any length: through a descriptor of its folder.
template <class Call>
int with_address(const std::filesystem::path& directory, Call call) {
  const int folder = open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(folder) + "/" + kName;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int result = call(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  close(folder);
  errno = error;
  return result;
}

void set_patience(int descriptor, time_t seconds) {
  const timeval patience{seconds, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

std::string read_line(int descriptor) {
  constexpr std::size_t kLongest = 65536;
  std::string line;
  for (char c = 0; line.size() < kLongest && recv(descriptor, &c, 1, 0) == 1 && c != '\n';)
    line += c;
  return line;
}

void write_line(int descriptor, const nlohmann::json& value) {
  const std::string line = value.dump() + "\n";
  send(descriptor, line.data(), line.size(), MSG_NOSIGNAL);
}

}  // namespace

ControlSocket::ControlSocket(const std::filesystem::path& directory)
    : file_(directory / kName),
      descriptor_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  const mode_t before = umask(0177);
  const int bound = with_address(
      directory, [this](const sockaddr* a, socklen_t n) { return bind(descriptor_, a, n); });
  umask(before);
  constexpr int kWaiting = 8;
  if (bound == 0 && listen(descriptor_, kWaiting) == 0) return;
  const int error = errno;
  close(descriptor_);
  throw std::system_error(error, std::generic_category(), file_.string());
}

ControlSocket::~ControlSocket() {
  close(descriptor_);
  unlink(file_.c_str());
}

void ControlSocket::serve(const std::function<nlohmann::json(const nlohmann::json&)>& answer) {
  const int peer = accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
  if (peer < 0) return;
  set_patience(peer, 1);
  const nlohmann::json question = nlohmann::json::parse(read_line(peer), nullptr, false);
  if (question.is_object()) write_line(peer, answer(question));
  close(peer);
}

nlohmann::json ask_control_socket(const std::filesystem::path& directory,
                                  const nlohmann::json& question) {
  const int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  constexpr time_t kPatienceSeconds = 10;
  set_patience(peer, kPatienceSeconds);
  const int connected = with_address(
      directory, [peer](const sockaddr* a, socklen_t n) { return connect(peer, a, n); });
  const int error = errno;
  nlohmann::json answer;
  if (connected == 0) {
    write_line(peer, question);
    answer = nlohmann::json::parse(read_line(peer), nullptr, false);
  }
  close(peer);
  if (connected != 0)
    throw std::runtime_error(directory.string() + ": no troupe up runs there (" +
                             std::strerror(error) + "); give the run directory that it printed");
  if (!answer.is_object())
    throw std::runtime_error(directory.string() + ": troupe up does not answer");
  return answer;
}

}  // namespace troupe
