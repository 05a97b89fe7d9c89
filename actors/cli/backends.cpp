#include "actors/cli/backends.hpp"

#include "gpu/device.hpp"
#include "gpu/sampling/cpu_engine.hpp"

namespace troupe {

gpu::EngineChoice engine_choice(const std::string& device, const std::string& engine,
                                const gpu::DecoderConfig& decoder) {
  return gpu::choose_engine(engine, gpu::resolve_device(device), decoder);
}

std::unique_ptr<gpu::Engine> make_engine(const std::string& device, const std::string& engine,
                                         const gpu::DecoderConfig& decoder, std::int32_t slots,
                                         std::int32_t capacity) {
  if (engine_choice(device, engine, decoder).kind == gpu::EngineKind::cpu)
    return gpu::make_cpu_engine(decoder, slots, capacity, gpu::compute_threads());
  return gpu::make_torch_engine(decoder, slots, capacity, gpu::resolve_device(device));
}

Backends backends_for(const std::string& device, const std::string& engine) {
  const std::string resolved = gpu::resolve_device(device);
  Backends backends;
  backends.engine = [resolved, engine](const gpu::DecoderConfig& decoder, std::int32_t slots,
                                       std::int32_t capacity) {
    return make_engine(resolved, engine, decoder, slots, capacity);
  };
  backends.training_engine = [resolved](const gpu::DecoderConfig& decoder,
                                        const gpu::SamplingView& view, std::int64_t tokens) {
    return gpu::make_torch_training_engine(decoder, view, tokens, resolved);
  };
  backends.set_threads = [](std::int32_t threads) { gpu::set_compute_threads(threads); };
  return backends;
}

}  // namespace troupe
