#pragma once
// The engine of own CPU kernels.
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/sampling/engine.hpp"

#include <cstdint>
#include <memory>

namespace troupe::gpu {

/// Batch-invariant; the same bits with every instruction set, number of slots and threads; fast
/// from the first row on. Runs decoders of any shape. Keeps the weights packed, beside the ones
/// that it is given, and from the first change on room for two versions of that. threads: those that compute, the caller's among them. Errors: throws
/// gpu::Error as SlotLengths does.
std::unique_ptr<Engine> make_cpu_engine(const DecoderConfig& config, std::int32_t slots,
                                        std::int32_t capacity, std::int32_t threads = 1,
                                        const DecodeKernels& kernels = *decode_kernels());

}  // namespace troupe::gpu
