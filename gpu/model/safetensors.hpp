#pragma once
// The safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes without
// holes.
#include "gpu/model/manifest.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe::gpu {

struct SafeTensor {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  const std::byte* data;  // into the mapped file, of any alignment
  std::uint64_t bytes;
};

/// A read-only view of a file. Errors: throws gpu::Error naming the file.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

/// One file. Errors: throws gpu::Error on anything the format forbids (holes, overlaps, sizes,
/// duplicate keys, header > 100 MB).
class SafeTensorsFile {
 public:
  explicit SafeTensorsFile(const std::filesystem::path& file);
  const std::vector<SafeTensor>& tensors() const { return tensors_; }  // as they lie in the file

 private:
  MappedFile mapped_;
  std::vector<SafeTensor> tensors_;
};

/// Converts F32, F16 or BF16 to float32. to: as many floats as the tensor has elements.
/// Errors: throws gpu::Error naming the tensor on another dtype.
void to_floats(const SafeTensor& tensor, float* to);

/// Writes all tensors of the manifest as F32 in its order, beside `file`, syncs and renames.
void write_safetensors(const std::filesystem::path& file, const Manifest& manifest,
                       const float* weights);

}  // namespace troupe::gpu
