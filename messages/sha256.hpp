#pragma once
// SHA-256, which tells whole versions of weights apart.
#include <array>
#include <kj/common.h>

namespace troupe {

using Sha256 = std::array<kj::byte, 32>;

/// About 1 to 2 GB/s: never on a loop. Any thread. Errors: throws kj::Exception if OpenSSL fails.
Sha256 sha256(kj::ArrayPtr<const kj::byte> bytes);

}  // namespace troupe
