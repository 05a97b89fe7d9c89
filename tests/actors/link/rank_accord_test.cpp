#include "actors/link/rank_accord.hpp"

#include <doctest/doctest.h>

#include <capnp/message.h>
#include <kj/exception.h>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

const RankOffer kZero{22809, "cuda:a", ""}, kOne{22809, "cuda:b", ""};

std::string why(CommunicatorUse use, const std::vector<RankOffer>& offers) {
  const RankAccord accord = agree(use, offers);
  CHECK_FALSE(accord.nccl);
  CHECK(accord.refusal == "");
  return accord.why;
}

RankAccord read_back(const RankAccord& accord) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::RankAccord>();
  write(accord, root);
  return read_accord(root.asReader());
}

}  // namespace

TEST_CASE("ranks exchange by NCCL if all can and shall") {
  for (const CommunicatorUse use : {CommunicatorUse::automatic, CommunicatorUse::nccl}) {
    const RankAccord accord = agree(use, {kZero, kOne, {22809, "cuda:c", ""}});
    CHECK(accord.nccl);
    CHECK(accord.refusal == "");
    CHECK(accord.why == "gradients go by NCCL 2.28.9, not encrypted");
  }
  CHECK(why(CommunicatorUse::ring, {kZero, kOne}) ==
        "gradients go round a ring over the links (learner.communicator = \"ring\")");
}

TEST_CASE("the first rank that cannot use NCCL is named with its reason") {
  const std::string ring = "gradients go round a ring over the links, not by NCCL: ";
  const auto use = CommunicatorUse::automatic;
  CHECK(why(use, {kZero, {0, "", "no library"}, {0, "", "none either"}}) ==
        ring + "rank 1: no library");
  CHECK(why(use, {kZero, kOne, {23004, "cuda:c", ""}}) ==
        ring + "rank 2: its NCCL is 2.30.4, and that of rank 0 2.28.9");
  CHECK(why(use, {kZero, kOne, kOne}) ==
        ring + "rank 2: it computes on the same device as rank 1 (cuda:b)");
}

TEST_CASE("NCCL that is wanted and cannot be is refused with the remedy") {
  const RankAccord accord = agree(CommunicatorUse::nccl, {kZero, {0, "", "no library"}});
  CHECK(accord.refusal ==
        "learner.communicator = \"nccl\", and not all ranks can: rank 1: no library; mend that, "
        "or set \"auto\" or \"ring\"");
}

TEST_CASE("an accord is read as it was written and another id is not read") {
  RankAccord accord;
  accord.why = "because";
  CHECK_FALSE(read_back(accord).nccl);
  CHECK(read_back(accord).why == "because");
  accord.nccl.emplace();
  accord.nccl->bytes[127] = 'x';
  REQUIRE(read_back(accord).nccl);
  CHECK(read_back(accord).nccl->bytes == accord.nccl->bytes);
  accord.refusal = "no";
  CHECK(read_back(accord).refusal == "no");
  CHECK_FALSE(read_back(accord).nccl);
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::RankAccord>();
  root.initNccl(127);
  CHECK_THROWS_AS(read_accord(root.asReader()), kj::Exception);
}

TEST_CASE("a rank without NCCL says why") {
  CHECK(offer_of(nullptr, "it is not loaded").problem == "it is not loaded");
  CHECK(offer_of(nullptr, "").problem == "it has no NCCL");
}

}  // namespace troupe
