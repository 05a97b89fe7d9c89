#include "gpu/model/safetensors.hpp"

#include "gpu/error.hpp"
#include "tests/support/temporary_directory.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("gpu/model");

using namespace troupe;
using namespace troupe::gpu;

namespace {

std::string with_length(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

/// The message with which a file of these bytes is refused, without the file's name; empty if it is
/// accepted.
std::string refusal(const std::string& bytes) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "x.safetensors";
  write_file(file, bytes);
  try {
    const SafeTensorsFile opened(file);
  } catch (const Error& error) {
    const std::string message = error.what();
    REQUIRE(message.starts_with(file.string()));
    return message.substr(file.string().size());
  }
  return "";
}

std::string invalid(const std::string& problem) {
  return " is not a valid safetensors file: " + problem;
}

/// A header with one tensor "a" and `extra` entries behind it.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                const std::string& extra = "") {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}" + extra + "}";
}

std::vector<float> floats(const std::string& dtype, const std::string& data) {
  std::vector<std::byte> bytes(data.size() + 1);
  std::memcpy(bytes.data() + 1, data.data(), data.size());  // not aligned
  std::vector<float> result(data.size() / (dtype == "F32" ? 4 : 2));
  to_floats({"t", dtype, {}, bytes.data() + 1, data.size()}, result.data());
  return result;
}

}  // namespace

TEST_CASE("what is written is read back and lies in the order of the manifest") {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory.path() / "model.safetensors";
  const Manifest manifest = manifest_of(tiny_qwen2());
  const std::vector<float> weights = random_weights(tiny_qwen2(), 1);
  write_safetensors(path, manifest, weights.data());
  const SafeTensorsFile file(path);
  REQUIRE(file.tensors().size() == manifest.tensors.size());
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorEntry& entry = manifest.tensors[i];
    const SafeTensor& tensor = file.tensors()[i];
    CHECK(tensor.name == entry.name);
    CHECK(tensor.dtype == "F32");
    CHECK(tensor.shape == entry.shape);
    REQUIRE(tensor.bytes == 4 * static_cast<std::uint64_t>(entry.elements()));
    CHECK(std::memcmp(tensor.data, weights.data() + entry.offset, tensor.bytes) == 0);
  }
}

TEST_CASE(
    "a written file has an aligned header with the pt format and leaves nothing else behind") {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory.path() / "model.safetensors";
  const Manifest manifest{{{"a", {2}, 0}, {"b", {1, 1}, 2}}, 3};
  const float weights[] = {1.0f, 2.0f, 3.0f};
  write_safetensors(path, manifest, weights);
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(read_file(path) ==
        with_length(header, std::string(reinterpret_cast<const char*>(weights), sizeof(weights))));
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("a file that cannot be written is refused by name and leaves nothing behind") {
  const float weights[] = {1.0f};
  CHECK_THROWS_AS(
      write_safetensors("/nonexistent/model.safetensors", {{{"a", {1}, 0}}, 1}, weights), Error);
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory.path() / "model.safetensors" / "full");
  CHECK_THROWS_AS(
      write_safetensors(directory.path() / "model.safetensors", {{{"a", {1}, 0}}, 1}, weights),
      Error);
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("legal files of unusual form are read") {
  CHECK(refusal(with_length("{}", "")) == "");
  CHECK(refusal(with_length(R"({"__metadata__":{"k":"v"}}   )", "")) == "");
  CHECK(refusal(with_length(one("\"U8\"", "[]", "[0,1]"), "x")) == "");            // rank 0
  CHECK(refusal(with_length(one("\"F32\"", "[0,5]", "[0,0]"), "")) == "");         // size 0
  CHECK(refusal(with_length(one("\"BF16\"", "[1]", "[0,2]") + " ", "xy")) == "");  // odd start
  const std::string behind = R"(,"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]})";
  CHECK(refusal(with_length(one("\"F8_E4M3\"", "[2]", "[8,10]", behind), "0123456789")) == "");
}

TEST_CASE("every malformed file is refused with its own message") {
  const auto refused = [](const std::string& header, const std::string& data,
                          const std::string& problem) {
    CHECK(refusal(with_length(header, data)) == invalid(problem));
  };
  CHECK(refusal("") == invalid("it is shorter than 8 bytes"));
  CHECK(refusal("1234567") == invalid("it is shorter than 8 bytes"));
  CHECK(refusal(with_length("{}", "").substr(0, 9)) ==
        invalid("its header is longer than the file; was the download cut short?"));
  CHECK(refusal("\xff\xff\xff\xff\xff\xff\xff\xff{}") ==
        invalid("its header is longer than 100 MB"));
  refused("", "", "its header does not begin with '{'");
  refused(" {}", "", "its header does not begin with '{'");
  refused("{}", "x", "there are bytes that belong to no tensor at its end");
  refused(R"({"__metadata__":{"k":1}})", "", "__metadata__ must map strings to strings");
  refused(R"({"__metadata__":[]})", "", "__metadata__ must map strings to strings");
  refused(R"({"a":[]})", "", "tensor 'a' needs dtype, shape and data_offsets");
  refused(R"({"a":{"dtype":"U8","shape":[0]}})", "",
          "tensor 'a' needs dtype, shape and data_offsets");
  refused(one("\"F4\"", "[1]", "[0,1]"), "x", "tensor 'a' has the unknown dtype \"F4\"");
  refused(one("7", "[1]", "[0,1]"), "x", "tensor 'a' has the unknown dtype 7");
  refused(one("\"U8\"", "[-1]", "[0,1]"), "x",
          "tensor 'a' shape must be an array of non-negative integers");
  refused(one("\"U8\"", "[1.0]", "[0,1]"), "x",
          "tensor 'a' shape must be an array of non-negative integers");
  refused(one("\"U8\"", "1", "[0,1]"), "x",
          "tensor 'a' shape must be an array of non-negative integers");
  refused(one("\"U8\"", "[1]", "[0,1,2]"), "xy",
          "tensor 'a' data_offsets must be two ascending numbers");
  refused(one("\"U8\"", "[1]", "[1,0]"), "x",
          "tensor 'a' data_offsets must be two ascending numbers");
  refused(one("\"U8\"", "[2]", "[0,2]"), "x",
          "tensor 'a' ends past the end of the file; was the download cut short?");
  refused(one("\"F32\"", "[1]", "[0,2]"), "xy",
          "tensor 'a' has 2 bytes, which is not its shape times the size of F32");
  refused(one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), "",
          "tensor 'a' has a shape whose size overflows");
  const auto second = [](const std::string& offsets) {
    return R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":)" + offsets + "}";
  };
  refused(one("\"U8\"", "[2]", "[0,2]", second("[1,2]")), "xy",
          "tensor 'b' overlaps the one before it");
  refused(one("\"U8\"", "[1]", "[0,1]", second("[2,3]")), "xyz",
          "there is a hole before tensor 'b'");
  refused(one("\"U8\"", "[1]", "[1,2]"), "xy", "there is a hole before tensor 'a'");
}

TEST_CASE("a header with a repeated key or broken text is refused") {
  const std::string repeated = R"(,"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]})";
  CHECK(refusal(with_length(one("\"U8\"", "[1]", "[0,1]", repeated), "xy")) ==
        ": the key 'a' occurs twice");
  CHECK(refusal(with_length(R"({"__metadata__":{"k":"v","k":"w"}})", "")) ==
        ": the key 'k' occurs twice");
  for (const char* text : {"{", "{}}", "{\"a\":}", "{\"\xff\":1}"}) {
    CHECK(refusal(with_length(text, "")).starts_with(" is not valid JSON: "));
  }
}

TEST_CASE("a file that is not there is refused by name") {
  CHECK_THROWS_WITH_AS(SafeTensorsFile("/nonexistent/x.safetensors"),
                       "cannot read /nonexistent/x.safetensors: No such file or directory", Error);
}

TEST_CASE("halves and brain floats of any alignment become the same numbers") {
  using namespace std::string_literals;
  CHECK(floats("F32", "\x00\x00\x80\x3f\x00\x00\x20\xc1"s) == std::vector<float>{1.0f, -10.0f});
  CHECK(floats("BF16", "\x80\x3f\x20\xc1\x80\x7f"s) ==
        std::vector<float>{1.0f, -10.0f, std::numeric_limits<float>::infinity()});
  // 1, -2, the largest, the smallest normal, the smallest subnormal, -0, infinity
  CHECK(floats("F16", "\x00\x3c\x00\xc0\xff\x7b\x00\x04\x01\x00\x00\x80\x00\x7c"s) ==
        std::vector<float>{1.0f, -2.0f, 65504.0f, 0x1p-14f, 0x1p-24f, -0.0f,
                           std::numeric_limits<float>::infinity()});
  const float nan = floats("F16", "\x01\x7e"s)[0];
  CHECK(nan != nan);
  CHECK_THROWS_WITH_AS(floats("I16", "xy"),
                       "tensor 't' is I16; only F32, F16 and BF16 weights can be read", Error);
}

TEST_SUITE_END();
