#include "gpu/sampling/engine_choice.hpp"

#include "gpu/error.hpp"
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/model/manifest.hpp"

namespace troupe::gpu {
namespace {

constexpr std::uint64_t kMostParameters = 200'000'000;

EngineChoice torch(const std::string& why) {
  return {EngineKind::torch, "LibTorch, " + why};
}
EngineChoice own_kernels() {
  return {EngineKind::cpu, std::string("own CPU kernels, ") + decode_kernels()->name};
}

}  // namespace

EngineChoice choose_engine(const std::string& wanted, const std::string& device,
                           const DecoderConfig& decoder) {
  if (wanted == "torch") return torch("as generator.engine asks");
  if (wanted == "cpu") return own_kernels();
  if (wanted != "auto")
    throw Error("there is no engine \"" + wanted + "\": give auto, torch or cpu");
  if (device != "cpu") return torch("because the device is " + device);
  const std::uint64_t parameters = manifest_of(decoder).elements;
  if (parameters > kMostParameters)
    return torch("because packed copies of " + std::to_string(parameters / 1'000'000) +
                 " million parameters would double the memory of each generator; generator.engine "
                 "= \"cpu\" takes the own kernels all the same");
  return own_kernels();
}

}  // namespace troupe::gpu
