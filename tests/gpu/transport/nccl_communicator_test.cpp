#include "gpu/transport/nccl_communicator.hpp"

#include "gpu/error.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

TEST_SUITE_BEGIN("gpu/transport");

namespace troupe::gpu {
namespace {

/// Runs one rank to its end; what it said.
std::string rank(int rank, int size, const NcclId& id, int deadline_ms,
                 const std::string& environment) {
  const std::string command = environment + " " + NCCL_RANK + " " + FAKE_NCCL + " " +
                              std::to_string(rank) + " " + std::to_string(size) + " " +
                              id.bytes.data() + " " + std::to_string(deadline_ms) + " cpu";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), pclose);
  REQUIRE(output);
  std::string said;
  std::array<char, 256> part;
  while (std::fgets(part.data(), part.size(), output.get()) != nullptr) said += part.data();
  if (!said.empty()) said.pop_back();
  return said;
}

/// As many ranks as environments, each a process.
std::vector<std::string> ranks(const std::vector<std::string>& environments,
                               int deadline_ms = 30000) {
  const NcclApi api = load_nccl(FAKE_NCCL);
  NcclId id;
  REQUIRE(api.unique_id(&id) == nccl_success);
  std::vector<std::string> said(environments.size());
  std::vector<std::thread> waiting;
  for (std::size_t i = 0; i < said.size(); ++i)
    waiting.emplace_back([&, i] {
      said[i] = rank(static_cast<int>(i), static_cast<int>(said.size()), id, deadline_ms,
                     environments[i]);
    });
  for (std::thread& thread : waiting) thread.join();
  return said;
}

using Said = std::vector<std::string>;

}  // namespace

TEST_CASE("processes sum and gather over NCCL and carry a version in buckets") {
  CHECK(ranks({"", ""}) == Said{"ok", "ok"});
  CHECK(ranks({"", "", ""}) == Said{"ok", "ok", "ok"});
}

TEST_CASE("calls of NCCL that stay in progress are asked about until they are done") {
  CHECK(ranks({"FAKE_NCCL_POLLS=7", "FAKE_NCCL_POLLS=30"}) == Said{"ok", "ok"});
}

TEST_CASE("a failure of NCCL names the rank and the call and its code in words") {
  const Said said = ranks({"FAKE_NCCL_FAIL=broadcast:4", ""}, 3000);
  CHECK(said[0] ==
        "rank 0 of 2: NCCL broadcast: remote process exited or there was a network error: as told "
        "by the environment");
  CHECK(said[1].find("rank 1 of 2: NCCL broadcast: not done within 3000 ms") == 0);
  CHECK(ranks({"FAKE_NCCL_FAIL=init:1", ""}, 300)[0].find("rank 0 of 2: NCCL init: remote") == 0);
}

TEST_CASE("a collective that hangs is aborted after the deadline on every rank") {
  for (const std::string& line : ranks({"", "FAKE_NCCL_HANG=all_reduce:1"}, 3000)) {
    CAPTURE(line);
    CHECK(line.find("NCCL all_reduce_sum: not done within 3000 ms: a rank is lost or hangs") !=
          std::string::npos);
  }
}

TEST_CASE("a call of NCCL that does not come back is released by the abort") {
  CHECK(ranks({"", "FAKE_NCCL_BLOCK=reduce:1"}, 3000)[1] ==
        "rank 1 of 2: NCCL reduce_scatter_sum: not done within 3000 ms: a rank is lost or hangs");
}

TEST_CASE("a rank that never joins is noticed after the deadline") {
  const NcclApi api = load_nccl(FAKE_NCCL);
  NcclId id;
  REQUIRE(api.unique_id(&id) == nccl_success);
  CHECK(rank(0, 2, id, 300, "") ==
        "rank 0 of 2: NCCL init: not done within 300 ms: a rank is lost or hangs");
}

TEST_CASE("another thread aborts a collective under way") {
  const Said said = ranks({"NCCL_RANK_ABORT=1", "FAKE_NCCL_HANG=all_reduce:1"}, 3000);
  CHECK(said[0] == "rank 0 of 2: NCCL all_reduce_sum: the run was stopped");
}

TEST_CASE("a file that is not NCCL is refused with what it lacks") {
  CHECK_THROWS_WITH(load_nccl("libm.so.6"),
                    "libm.so.6 is not the NCCL that is needed: no ncclGetVersion");
  CHECK_THROWS_AS(load_nccl("/no/such/libnccl.so"), Error);
}

}  // namespace troupe::gpu
