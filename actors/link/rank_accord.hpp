#pragma once
// How the ranks of a learner that are processes exchange gradients: what each is able to, and what they agree on.
#include "gpu/transport/nccl_device.hpp"
#include "messages/wire/ranks.capnp.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// [learner] communicator.
enum class CommunicatorUse {
  automatic,  // NCCL where all ranks can, else the ring
  ring,
  nccl,
};

/// What a rank says of its NCCL.
struct RankOffer {
  std::uint32_t version = 0;  // of the library
  std::string device;
  std::string problem;  // why it cannot; empty: it can
};

/// library: null: there is none, because of `problem`. Errors: gpu::Error, a device's failure.
RankOffer offer_of(const gpu::NcclLibrary* library, const std::string& problem);

struct RankAccord {
  std::string refusal{};            // not empty: they cannot as the config wants it
  std::optional<gpu::NcclId> nccl;  // none: the ring
  std::string why;                  // a line for people
};

/// Rank 0's: whether all can and shall exchange by NCCL, given what each said, by rank. The id is left empty.
RankAccord agree(CommunicatorUse use, const std::vector<RankOffer>& offers);

void write(const RankOffer& offer, wire::NcclOffer::Builder to);
RankOffer read_offer(wire::NcclOffer::Reader from);
void write(const RankAccord& accord, wire::RankAccord::Builder to);
/// Errors: throws kj::Exception if it breaks its schema.
RankAccord read_accord(wire::RankAccord::Reader from);

}  // namespace troupe
