#pragma once
// One question and one answer, a line of JSON each, over a unix socket in the run directory of `troupe up`.
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace troupe {

/// For its owner only (mode 0600). Used by one thread.
class ControlSocket {
 public:
  /// Errors: throws std::system_error.
  explicit ControlSocket(const std::filesystem::path& directory);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  int descriptor() const { return descriptor_; }
  /// Answers whoever waits. A question that is malformed, or does not come within a second, is dropped with its sender.
  void serve(const std::function<nlohmann::json(const nlohmann::json&)>& answer);

 private:
  std::filesystem::path file_;
  int descriptor_;
};

/// Errors: throws std::runtime_error naming the directory and a remedy.
nlohmann::json ask_control_socket(const std::filesystem::path& directory,
                                  const nlohmann::json& question);

}  // namespace troupe
