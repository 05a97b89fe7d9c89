#include "messages/weight_manifest.hpp"

#include <capnp/list.h>
#include <kj/debug.h>

namespace troupe {
namespace {

constexpr unsigned kDimensions = 8;

WeightTensor read(wire::WeightTensor::Reader reader) {
  WeightTensor tensor{reader.getName(), reader.getDtype(), {}, reader.getOffset()};
  for (const std::uint64_t size : reader.getShape()) tensor.shape.push_back(size);
  return tensor;
}

std::string describe(const WeightTensor& tensor) {
  std::string text = tensor.name + " " + tensor.dtype + " [";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(tensor.shape[i]);
  return text + "] at byte " + std::to_string(tensor.offset);
}

/// Bytes of a tensor that a peer describes, at most `most`. Errors: throws kj::Exception.
std::uint64_t checked_bytes(wire::WeightTensor::Reader tensor, std::uint64_t most) {
  std::uint64_t bytes = bytes_of_dtype(tensor.getDtype());
  KJ_REQUIRE(bytes > 0, "weights of an unknown type");
  KJ_REQUIRE(tensor.getName().size() > 0, "a tensor without a name");
  KJ_REQUIRE(tensor.getShape().size() >= 1 && tensor.getShape().size() <= kDimensions,
             "a tensor with too few or too many dimensions");
  for (const std::uint64_t size : tensor.getShape()) {
    KJ_REQUIRE(size > 0 && size <= most / bytes, "a tensor that does not fit its buffer");
    bytes *= size;
  }
  return bytes;
}

}  // namespace

std::uint64_t bytes_of_dtype(const std::string& dtype) {
  if (dtype == "float32") return 4;
  return dtype == "bfloat16" || dtype == "float16" ? 2 : 0;
}

std::uint64_t bytes_of(const WeightManifest& manifest) {
  if (manifest.empty()) return 0;
  const WeightTensor& last = manifest.back();
  std::uint64_t bytes = bytes_of_dtype(last.dtype);
  for (const std::uint64_t size : last.shape) bytes *= size;
  return last.offset + bytes;
}

void write(const WeightManifest& manifest, capnp::List<wire::WeightTensor>::Builder list) {
  for (unsigned i = 0; i < list.size(); ++i) {
    const WeightTensor& tensor = manifest[i];
    list[i].setName(tensor.name);
    list[i].setDtype(tensor.dtype);
    list[i].setOffset(tensor.offset);
    auto shape = list[i].initShape(static_cast<unsigned>(tensor.shape.size()));
    for (unsigned d = 0; d < shape.size(); ++d) shape.set(d, tensor.shape[d]);
  }
}

void validate(capnp::List<wire::WeightTensor>::Reader list, std::uint64_t bytes) {
  std::uint64_t end = 0;
  for (const auto tensor : list) {
    KJ_REQUIRE(tensor.getOffset() == end, "tensors with a hole between them or an overlap", end);
    end += checked_bytes(tensor, bytes - end);
  }
  KJ_REQUIRE(end == bytes, "tensors that do not fill their buffer", end, bytes);
}

std::string first_difference(const WeightManifest& ours,
                             capnp::List<wire::WeightTensor>::Reader theirs) {
  for (unsigned i = 0; i < ours.size() && i < theirs.size(); ++i) {
    const WeightTensor other = read(theirs[i]);
    if (other != ours[i])
      return "tensor " + std::to_string(i) + " is " + describe(ours[i]) + " here and " +
             describe(other) + " there";
  }
  if (ours.size() == theirs.size()) return {};
  return std::to_string(ours.size()) + " tensors here and " + std::to_string(theirs.size()) +
         " there";
}

}  // namespace troupe
