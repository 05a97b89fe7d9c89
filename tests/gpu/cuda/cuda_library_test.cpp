#include "gpu/cuda/cuda_library.hpp"

#include "gpu/error.hpp"

#include <doctest/doctest.h>
TEST_SUITE_BEGIN("gpu/cuda");

using troupe::gpu::choose_device;
using troupe::gpu::CudaLibrary;
using troupe::gpu::load_cuda;

namespace {

CudaLibrary two_devices() {
  return load_cuda({.driver = FAKE_DRIVER, .library = FAKE_CUDA});
}
CudaLibrary not_built_in() {
  return load_cuda({.driver = FAKE_DRIVER, .library = ""});
}

std::string refusal(const std::string& wanted, const CudaLibrary& cuda) {
  try {
    return "chose " + choose_device(wanted, cuda);
  } catch (const troupe::gpu::Error& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("a build without CUDA says so and offers the cpu alone") {
  const CudaLibrary cuda = not_built_in();
  CHECK(cuda.report.cuda_status == "not built in");
  CHECK(cuda.report.devices.empty());
  CHECK_FALSE(static_cast<bool>(cuda.check));
}

TEST_CASE("without a driver the CUDA library is not loaded") {
  const CudaLibrary cuda = load_cuda({.driver = "libno-such-driver.so.1", .library = FAKE_CUDA});
  CHECK(cuda.report.cuda_status == "built in, no driver found");
  CHECK_FALSE(static_cast<bool>(cuda.check));
}

TEST_CASE("a driver that does not start is reported with its code") {
  const CudaLibrary cuda = load_cuda({.driver = FAKE_DRIVER_WITHOUT_DEVICE, .library = FAKE_CUDA});
  CHECK(cuda.report.cuda_status ==
        "built in, but the driver does not start: cuInit returned 100 (no device)");
  CHECK_FALSE(static_cast<bool>(cuda.check));
}

TEST_CASE("a library that cannot be loaded is named with the reason") {
  const CudaLibrary cuda = load_cuda({.driver = FAKE_DRIVER, .library = "libabsent.so"});
  CHECK(cuda.report.cuda_status.starts_with("built in, but not loaded: libabsent.so: "));
}

TEST_CASE("a library of another build is refused") {
  const CudaLibrary cuda = load_cuda({.driver = FAKE_DRIVER, .library = FAKE_DRIVER});
  CHECK(cuda.report.cuda_status.ends_with("belongs to another build"));
  CHECK_FALSE(static_cast<bool>(cuda.check));
}

TEST_CASE("a loaded library describes the devices and NCCL") {
  const CudaLibrary cuda = two_devices();
  CHECK(cuda.report.cuda_status == "2 devices");
  CHECK(cuda.report.devices == std::vector<std::string>{"first", "second"});
  CHECK(cuda.report.nccl_version == "2.28.9");
}

TEST_CASE("auto takes the first CUDA device or else the cpu") {
  CHECK(choose_device("auto", two_devices()) == "cuda:0");
  CHECK(choose_device("auto", not_built_in()) == "cpu");
}

TEST_CASE("cpu and cuda are taken at their word") {
  CHECK(choose_device("cpu", two_devices()) == "cpu");
  CHECK(choose_device("cuda", two_devices()) == "cuda:0");
  CHECK(choose_device("cuda:0", two_devices()) == "cuda:0");
}

TEST_CASE("a device that is not there is refused with the ones that are") {
  CHECK(
      refusal("cuda:2", two_devices()) ==
      "device \"cuda:2\" is not there (CUDA: 2 devices); choose one of auto, cpu, cuda:0, cuda:1");
  CHECK(refusal("cuda", not_built_in()) ==
        "device \"cuda\" is not there (CUDA: not built in); choose one of auto, cpu");
}

TEST_CASE("a device that fails its first kernel is refused with the reason") {
  CHECK(refusal("cuda:1", two_devices()) ==
        "device \"cuda:1\" does not work: out of memory; free it, choose another one, or set "
        "device = "
        "\"cpu\"");
}

TEST_CASE("a name that is no device is refused") {
  for (const std::string name :
       {"gpu", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "CPU", ""}) {
    CAPTURE(name);
    CHECK(refusal(name, two_devices()) ==
          "device \"" + name + "\" is none of auto, cpu, cuda or cuda:N");
  }
}
