#include "actors/link/rank_accord.hpp"

#include <algorithm>
#include <cstddef>
#include <kj/debug.h>

namespace troupe {
namespace {

constexpr std::size_t kLongestProblem = 1000;  // bytes: a hello is short

std::string number(std::size_t value) {
  return std::to_string(value);
}

std::string version_text(std::uint32_t version) {
  return number(version / 10000) + "." + number(version / 100 % 100) + "." + number(version % 100);
}

/// Which rank cannot exchange by NCCL with those before it, and why; empty: all can.
std::string obstacle(const std::vector<RankOffer>& offers) {
  for (std::size_t rank = 0; rank < offers.size(); ++rank) {
    const RankOffer& own = offers[rank];
    const std::string who = "rank " + number(rank) + ": ";
    if (!own.problem.empty()) return who + own.problem;
    if (own.version != offers[0].version)
      return who + "its NCCL is " + version_text(own.version) + ", and that of rank 0 " +
             version_text(offers[0].version);
    for (std::size_t other = 0; other < rank; ++other)
      if (own.device == offers[other].device)
        return who + "it computes on the same device as rank " + number(other) + " (" + own.device +
               ")";
  }
  return "";
}

}  // namespace

RankOffer offer_of(const gpu::NcclLibrary* library, const std::string& problem) {
  if (library == nullptr) return {0, "", problem.empty() ? "it has no NCCL" : problem};
  int version = 0;
  if (const int code = library->api.version(&version); code != gpu::nccl_success)
    return {0, "", "NCCL does not say its version: " + std::to_string(code)};
  return {static_cast<std::uint32_t>(version), library->device->identity(), ""};
}

RankAccord agree(CommunicatorUse use, const std::vector<RankOffer>& offers) {
  RankAccord accord;
  if (use == CommunicatorUse::ring) {
    accord.why = "gradients go round a ring over the links (learner.communicator = \"ring\")";
    return accord;
  }
  const std::string why_not = obstacle(offers);
  if (why_not.empty()) {
    accord.nccl.emplace();
    accord.why = "gradients go by NCCL " + version_text(offers[0].version) + ", not encrypted";
  } else if (use == CommunicatorUse::automatic) {
    accord.why = "gradients go round a ring over the links, not by NCCL: " + why_not;
  } else {
    accord.refusal = "learner.communicator = \"nccl\", and not all ranks can: " + why_not +
                     "; mend that, or set \"auto\" or \"ring\"";
  }
  return accord;
}

void write(const RankOffer& offer, wire::NcclOffer::Builder to) {
  to.setVersion(offer.version);
  to.setDevice(offer.device);
  to.setProblem(offer.problem.substr(0, kLongestProblem));
}

RankOffer read_offer(wire::NcclOffer::Reader from) {
  return {from.getVersion(), from.getDevice(), from.getProblem()};
}

void write(const RankAccord& accord, wire::RankAccord::Builder to) {
  to.setWhy(accord.why);
  if (!accord.refusal.empty())
    to.setRefusal(accord.refusal);
  else if (accord.nccl)
    to.setNccl(kj::arrayPtr(reinterpret_cast<const kj::byte*>(accord.nccl->bytes.data()),
                            accord.nccl->bytes.size()));
  else
    to.setRing();
}

RankAccord read_accord(wire::RankAccord::Reader from) {
  RankAccord accord;
  accord.why = from.getWhy();
  switch (from.which()) {
    case wire::RankAccord::RING:
      return accord;
    case wire::RankAccord::REFUSAL:
      accord.refusal = from.getRefusal();
      KJ_REQUIRE(!accord.refusal.empty(), "a refusal without a reason");
      return accord;
    case wire::RankAccord::NCCL: {
      accord.nccl.emplace();
      const auto id = from.getNccl();
      KJ_REQUIRE(id.size() == accord.nccl->bytes.size(), "a unique id of another size");
      std::copy(id.begin(), id.end(), reinterpret_cast<kj::byte*>(accord.nccl->bytes.data()));
      return accord;
    }
  }
  KJ_FAIL_REQUIRE("an accord that this version does not know");
}

}  // namespace troupe
