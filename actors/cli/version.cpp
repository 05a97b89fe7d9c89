#include "actors/cli/commands.hpp"
#include "gpu/device.hpp"

#include <iostream>
#include <thread>

namespace troupe {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "g++ " __VERSION__;
#endif

}  // namespace

std::string build_description() {
  return std::string("Troupe " TROUPE_VERSION ", ") + kCompiler + ", LibTorch " +
         gpu::probe_devices().libtorch_version;
}

int version() {
  const gpu::DeviceReport& devices = gpu::probe_devices();
  std::cout << "troupe    " << TROUPE_VERSION << "\n"
            << "compiler  " << kCompiler << "\n"
            << "LibTorch  " << devices.libtorch_version << "\n"
            << "CUDA      " << devices.cuda_status << "\n"
            << "NCCL      " << (devices.nccl_version.empty() ? "not loaded" : devices.nccl_version)
            << "\n"
            << "CPU       " << std::thread::hardware_concurrency() << " threads\n";
  for (std::size_t i = 0; i < devices.devices.size(); ++i)
    std::cout << "cuda:" << i << "    " << devices.devices[i] << "\n";
  return exit_ok;
}

}  // namespace troupe
