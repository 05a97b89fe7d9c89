// One rank of a group over NCCL, a process of its own: library, rank, size, id, deadline in
// milliseconds. Does every collective once and carries a version from rank 0 to rank 1; says "ok" or
// what went wrong.
#include "gpu/transport/nccl_communicator.hpp"
#include "gpu/transport/weight_carrier.hpp"
#include "tests/support/ranks.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace troupe;

/// Of the fake: its work is done by who asks.
class HostStream final : public gpu::DeviceStream {
 public:
  explicit HostStream(const std::string& library)
      : idle_(reinterpret_cast<bool (*)(void*)>(
            dlsym(dlopen(library.c_str(), RTLD_NOW), "troupe_nccl_host_idle"))) {}
  void* handle() override { return this; }
  float* scratch() override { return &scratch_; }
  bool idle() override { return idle_(this); }

 private:
  bool (*idle_)(void*);
  float scratch_ = 0;
};

constexpr std::size_t kFloats = 600'001;  // several pieces and buckets, the last one short

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

void sums(gpu::Communicator& group) {
  const std::vector<float> expected = support::sum_in_order(group.size(), kFloats);
  std::vector<float> all = support::values_of(group.rank(), kFloats), part = all;
  group.all_reduce_sum(all);
  require(all == expected, "all_reduce_sum is wrong");
  const std::size_t block = gpu::shard_length(kFloats, group.size());
  const gpu::FlatRange own = gpu::block_of(group.rank(), block, kFloats);
  group.reduce_scatter_sum(part, block);
  const auto first = static_cast<std::ptrdiff_t>(own.first);
  require(std::equal(part.begin() + first,
                     part.begin() + first + static_cast<std::ptrdiff_t>(own.count),
                     expected.begin() + first),
          "reduce_scatter_sum is wrong");
  group.all_gather(std::as_writable_bytes(std::span(part)), block * sizeof(float));
  require(part == expected, "all_gather is wrong");
  group.barrier();
}

void carry(gpu::Communicator& group) {
  constexpr std::size_t kBucket = 100'000;
  std::vector<float> first(kBucket), second(kBucket);
  gpu::WeightCarrier carrier(
      group, {first, second},
      [](float* to, const float* from, std::size_t count) { std::copy_n(from, count, to); });
  const std::vector<float> version = support::values_of(7, kFloats);
  if (group.rank() == 0) return carrier.send(version);
  std::vector<float> received(kFloats);
  carrier.receive(received);
  require(received == version, "the version is wrong");
}

}  // namespace

int main(int, char** argv) {
  try {
    gpu::NcclPlace place{std::atoi(argv[2]), std::atoi(argv[3]), {}};
    const std::string id = argv[4];
    std::copy(id.begin(), id.end(), place.id.bytes.begin());
    const auto group = gpu::make_nccl_communicator(gpu::load_nccl(argv[1]), place,
                                                   std::make_shared<HostStream>(argv[1]),
                                                   std::chrono::milliseconds(std::atoi(argv[5])));
    std::thread other;
    if (std::getenv("NCCL_RANK_ABORT") != nullptr)
      other = std::thread([&] { group->abort("the run was stopped"); });
    try {
      sums(*group);
      if (group->size() == 2) carry(*group);
    } catch (...) {
      if (other.joinable()) other.join();
      throw;
    }
    if (other.joinable()) other.join();
    std::puts("ok");
  } catch (const std::exception& error) {
    std::puts(error.what());
  }
}
