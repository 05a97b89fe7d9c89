#pragma once
// Which tensor lies where in a flat buffer of weights, as processes tell each other.
#include "messages/weights.capnp.h"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// One tensor; fields as in weights.capnp.
struct WeightTensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // bytes
  bool operator==(const WeightTensor&) const = default;
};
using WeightManifest = std::vector<WeightTensor>;

/// Bytes of one value of that type; 0: no type that weights have.
std::uint64_t bytes_of_dtype(const std::string& dtype);
/// Bytes of the buffer. REQUIRES: a manifest of a real model, whose sizes do not overflow.
std::uint64_t bytes_of(const WeightManifest& manifest);

/// REQUIRES: the list has the size of the manifest.
void write(const WeightManifest& manifest, capnp::List<wire::WeightTensor>::Builder list);
/// Checks what weights.capnp REQUIRES of a list that is not empty, and that it fills `bytes`. Errors: throws kj::Exception.
void validate(capnp::List<wire::WeightTensor>::Reader list, std::uint64_t bytes);
/// For people: the first tensor in which `theirs` differs from `ours`; empty: none does.
std::string first_difference(const WeightManifest& ours,
                             capnp::List<wire::WeightTensor>::Reader theirs);

}  // namespace troupe
