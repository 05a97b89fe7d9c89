#pragma once
// The LibTorch engines as the director's backends.
#include "actors/director/director.hpp"

#include <string>

namespace troupe {

/// device: as in run.device. Errors: throws gpu::Error if it is not there.
Backends torch_backends(const std::string& device);

}  // namespace troupe
