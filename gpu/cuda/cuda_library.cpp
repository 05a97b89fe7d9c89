#include "gpu/cuda/cuda_library.hpp"

#include "gpu/error.hpp"

#include <charconv>
#include <dlfcn.h>
#include <string_view>

namespace troupe::gpu {
namespace {

/// Empty if the driver is there and starts.
std::string driver_problem(const std::string& file) {
  void* driver = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return "built in, no driver found";
  const auto initialise = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  if (initialise == nullptr) return "built in, but the driver " + file + " has no cuInit";
  const int code = initialise(0);
  if (code == 0) return "";
  return "built in, but the driver does not start: cuInit returned " + std::to_string(code) +
         (code == 100 ? " (no device)" : "");
}

std::string list_devices(const DeviceReport& report) {
  std::string list = "auto, cpu";
  for (std::size_t i = 0; i < report.devices.size(); ++i) list += ", cuda:" + std::to_string(i);
  return list;
}

/// The index in "cuda" (0) or "cuda:N"; -1 for any other text.
int cuda_index(std::string_view name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:")) return -1;
  name.remove_prefix(5);
  int index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc{} && end == name.data() + name.size() ? index : -1;
}

void require_working(const CudaLibrary& cuda, int index) {
  std::string problem;
  cuda.check(index, problem);
  if (problem.empty()) return;
  throw Error("device \"cuda:" + std::to_string(index) + "\" does not work: " + problem +
              "; free it, choose another one, or set device = \"cpu\"");
}

}  // namespace

CudaLibrary load_cuda(const CudaFiles& files) {
  CudaLibrary cuda;
  std::string& status = cuda.report.cuda_status;
  if (files.library.empty()) {
    status = "not built in";
    return cuda;
  }
  status = driver_problem(files.driver);
  if (!status.empty()) return cuda;
  // Global: LibTorch's CUDA half and its plug-ins find each other's symbols.
  void* library = dlopen(files.library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    status = std::string("built in, but not loaded: ") + dlerror();
    return cuda;
  }
  const auto describe =
      reinterpret_cast<decltype(&troupe_cuda_describe)>(dlsym(library, "troupe_cuda_describe"));
  const auto check =
      reinterpret_cast<decltype(&troupe_cuda_check)>(dlsym(library, "troupe_cuda_check"));
  const auto nccl_device = reinterpret_cast<decltype(&troupe_cuda_nccl_device)>(
      dlsym(library, "troupe_cuda_nccl_device"));
  if (describe == nullptr || check == nullptr || nccl_device == nullptr) {
    status = "built in, but " + files.library + " belongs to another build";
    return cuda;
  }
  describe(cuda.report);
  cuda.check = check;
  cuda.nccl_device = nccl_device;
  return cuda;
}

std::string choose_device(const std::string& wanted, const CudaLibrary& cuda) {
  const bool automatic = wanted == "auto";
  if (wanted == "cpu" || (automatic && cuda.report.devices.empty())) return "cpu";
  const int index = automatic ? 0 : cuda_index(wanted);
  if (index < 0) {
    throw Error("device \"" + wanted + "\" is none of auto, cpu, cuda or cuda:N");
  }
  if (static_cast<std::size_t>(index) >= cuda.report.devices.size()) {
    throw Error("device \"" + wanted + "\" is not there (CUDA: " + cuda.report.cuda_status +
                "); choose one of " + list_devices(cuda.report));
  }
  require_working(cuda, index);
  return "cuda:" + std::to_string(index);
}

}  // namespace troupe::gpu
