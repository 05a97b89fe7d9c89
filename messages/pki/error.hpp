#pragma once
#include <filesystem>
#include <stdexcept>
#include <string>

namespace troupe::pki {

/// What went wrong with certificates: the text names the file or the value, the reason, the remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  Error(const std::filesystem::path& file, const std::string& reason_and_remedy)
      : std::runtime_error(file.string() + ": " + reason_and_remedy) {}
};

}  // namespace troupe::pki
