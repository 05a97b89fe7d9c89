#pragma once
#include <stdexcept>

namespace troupe::gpu {

/// A broken promise on the compute side: illegal shape, malformed file, lost device. The text names
/// the cause and remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace troupe::gpu
