#include "messages/sha256.hpp"

#include <openssl/evp.h>

#include <kj/debug.h>

namespace troupe {

Sha256 sha256(kj::ArrayPtr<const kj::byte> bytes) {
  Sha256 digest{};
  unsigned size = 0;
  const int done =
      EVP_Digest(bytes.begin(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  KJ_REQUIRE(done == 1 && size == digest.size(), "OpenSSL cannot compute SHA-256");
  return digest;
}

}  // namespace troupe
