#include "gpu/model/safetensors.hpp"

#include "gpu/error.hpp"
#include "gpu/model/atomic_file.hpp"
#include "gpu/model/json_file.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <span>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe::gpu {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

const std::map<std::string, std::uint64_t, std::less<>> kDtypeBytes = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
    {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
    {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

/// Reads one header. Every refusal names the file and, where there is one, the tensor.
class HeaderReader {
 public:
  HeaderReader(const fs::path& file, const MappedFile& mapped)
      : file_(file.string()), mapped_(mapped) {}

  std::vector<SafeTensor> read() {
    const json header = parse_json(header_text(), file_);
    std::vector<SafeTensor> tensors;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        check_metadata(entry);
      } else {
        tensors.push_back(tensor(name, entry));
      }
    }
    check_cover(tensors);
    return tensors;
  }

 private:
  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(file_ + " is not a valid safetensors file: " + problem);
  }

  std::string_view header_text() {
    if (mapped_.size() < kLengthBytes) refuse("it is shorter than 8 bytes");
    std::uint64_t length = 0;
    std::memcpy(&length, mapped_.data(), kLengthBytes);
    if (length > kMaxHeaderBytes) refuse("its header is longer than 100 MB");
    if (length > mapped_.size() - kLengthBytes) {
      refuse("its header is longer than the file; was the download cut short?");
    }
    data_ = mapped_.data() + kLengthBytes + length;
    data_bytes_ = mapped_.size() - kLengthBytes - length;
    const std::string_view text(reinterpret_cast<const char*>(mapped_.data() + kLengthBytes),
                                length);
    if (!text.starts_with('{')) refuse("its header does not begin with '{'");
    return text;
  }

  void check_metadata(const json& entry) const {
    const auto is_string = [](const json& value) { return value.is_string(); };
    if (!entry.is_object() || !std::all_of(entry.begin(), entry.end(), is_string)) {
      refuse("__metadata__ must map strings to strings");
    }
  }

  SafeTensor tensor(const std::string& name, const json& entry) const {
    const std::string where = "tensor '" + name + "' ";
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets")) {
      refuse(where + "needs dtype, shape and data_offsets");
    }
    const std::vector<std::uint64_t> offsets =
        numbers(entry["data_offsets"], where + "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      refuse(where + "data_offsets must be two ascending numbers");
    }
    if (offsets[1] > data_bytes_) {
      refuse(where + "ends past the end of the file; was the download cut short?");
    }
    const std::vector<std::uint64_t> shape = numbers(entry["shape"], where + "shape");
    const std::string dtype = entry["dtype"].is_string() ? entry["dtype"].get<std::string>() : "";
    const auto known = kDtypeBytes.find(dtype);
    if (known == kDtypeBytes.end())
      refuse(where + "has the unknown dtype " + entry["dtype"].dump());
    if (byte_size(shape, known->second, where) != offsets[1] - offsets[0]) {
      refuse(where + "has " + std::to_string(offsets[1] - offsets[0]) +
             " bytes, which is not its shape times the size of " + dtype);
    }
    return {name, dtype, {shape.begin(), shape.end()}, data_ + offsets[0], offsets[1] - offsets[0]};
  }

  std::vector<std::uint64_t> numbers(const json& array, const std::string& where) const {
    const auto is_natural = [](const json& value) { return value.is_number_unsigned(); };
    if (!array.is_array() || !std::all_of(array.begin(), array.end(), is_natural)) {
      refuse(where + " must be an array of non-negative integers");
    }
    return array.get<std::vector<std::uint64_t>>();
  }

  std::uint64_t byte_size(const std::vector<std::uint64_t>& shape, std::uint64_t bytes,
                          const std::string& where) const {
    for (const std::uint64_t extent : shape) {
      if (__builtin_mul_overflow(bytes, extent, &bytes) || extent > (std::uint64_t{1} << 62)) {
        refuse(where + "has a shape whose size overflows");
      }
    }
    return bytes;
  }

  void check_cover(std::vector<SafeTensor>& tensors) const {
    std::sort(tensors.begin(), tensors.end(), [](const SafeTensor& a, const SafeTensor& b) {
      return a.data != b.data ? a.data < b.data : a.bytes < b.bytes;
    });
    const std::byte* end = data_;
    for (const SafeTensor& tensor : tensors) {
      if (tensor.data < end) refuse("tensor '" + tensor.name + "' overlaps the one before it");
      if (tensor.data > end) refuse("there is a hole before tensor '" + tensor.name + "'");
      end = tensor.data + tensor.bytes;
    }
    if (end != data_ + data_bytes_) refuse("there are bytes that belong to no tensor at its end");
  }

  std::string file_;
  const MappedFile& mapped_;
  const std::byte* data_ = nullptr;
  std::uint64_t data_bytes_ = 0;
};

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

float from_f16(std::uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 0x1f;
  const auto mantissa = static_cast<float>(bits & 0x3ff);
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31) return mantissa == 0.0f ? sign * INFINITY : NAN;
  return sign * std::ldexp(mantissa + 1024.0f, exponent - 25);
}

template <class Convert>
void convert_all(const SafeTensor& tensor, float* to, Convert convert) {
  for (std::uint64_t at = 0; at < tensor.bytes; at += sizeof(std::uint16_t)) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, tensor.data + at, sizeof(bits));
    *to++ = convert(bits);
  }
}

std::string header_of(const Manifest& manifest) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  for (const TensorEntry& entry : manifest.tensors) {
    const std::uint64_t begin = entry.offset * sizeof(float);
    const std::uint64_t end = begin + static_cast<std::uint64_t>(entry.elements()) * sizeof(float);
    header[entry.name] = {{"dtype", "F32"}, {"shape", entry.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

MappedFile::MappedFile(const fs::path& file) {
  const auto fail = [&] {
    throw Error("cannot read " + file.string() + ": " + std::strerror(errno));
  };
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail();
  struct stat status {};
  void* mapped = MAP_FAILED;
  if (::fstat(fd, &status) == 0) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    mapped = size_ == 0 ? nullptr : ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  const int error = errno;
  ::close(fd);
  errno = error;
  if (mapped == MAP_FAILED) fail();
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

SafeTensorsFile::SafeTensorsFile(const fs::path& file)
    : mapped_(file), tensors_(HeaderReader(file, mapped_).read()) {}

void to_floats(const SafeTensor& tensor, float* to) {
  if (tensor.dtype == "F32") {
    std::memcpy(to, tensor.data, tensor.bytes);
  } else if (tensor.dtype == "BF16") {
    convert_all(tensor, to, from_bf16);
  } else if (tensor.dtype == "F16") {
    convert_all(tensor, to, from_f16);
  } else {
    throw Error("tensor '" + tensor.name + "' is " + tensor.dtype +
                "; only F32, F16 and BF16 weights can be read");
  }
}

void write_safetensors(const fs::path& file, const Manifest& manifest, const float* weights) {
  const std::string header = header_of(manifest);
  const std::uint64_t length = header.size();
  AtomicFile out(file);
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(header);
  out.write(std::as_bytes(std::span(weights, manifest.elements)));
  out.commit();
}

}  // namespace troupe::gpu
