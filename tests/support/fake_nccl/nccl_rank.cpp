// One rank of a group over NCCL, a process of its own: library, rank, size, id, deadline in
// milliseconds, device. The id is that of ncclGetUniqueId, or "@" and a file that rank 0 writes it to.
// Does every collective once, on buffers of the host and of the device, and carries a version from
// rank 0 to rank 1; says "ok" or what went wrong, and ends with 77 if there is no such device here.
#include "gpu/transport/nccl_communicator.hpp"
#include "gpu/transport/nccl_device.hpp"
#include "gpu/transport/staged_communicator.hpp"
#include "gpu/transport/weight_carrier.hpp"
#include "tests/support/ranks.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace troupe;
using Library = std::shared_ptr<const gpu::NcclLibrary>;

constexpr int kNotHere = 77;
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

void carry(gpu::Communicator& group, gpu::NcclDevice& device) {
  constexpr std::size_t kBucket = 100'000;
  const std::array memory{device.allocate(kBucket), device.allocate(kBucket)};
  gpu::WeightCarrier carrier(
      group, {std::span(memory[0].get(), kBucket), std::span(memory[1].get(), kBucket)},
      [&](float* to, const float* from, std::size_t count) {
        if (count > 0) device.copy(to, from, count * sizeof(float));
      });
  const std::vector<float> version = support::values_of(7, kFloats);
  if (group.rank() == 0) return carrier.send(version);
  std::vector<float> received(kFloats);
  carrier.receive(received);
  require(received == version, "the version is wrong");
}

/// What lies in the device's memory is summed where it is.
void sum_on_device(gpu::Communicator& group, gpu::NcclDevice& device) {
  std::vector<float> values = support::values_of(group.rank(), kFloats);
  const auto memory = device.allocate(kFloats);
  device.copy(memory.get(), values.data(), kFloats * sizeof(float));
  require(device.owns(memory.get()) && !device.owns(values.data()), "whose memory it is");
  group.all_reduce_sum({memory.get(), kFloats});
  device.copy(values.data(), memory.get(), kFloats * sizeof(float));
  require(values == support::sum_in_order(group.size(), kFloats), "a sum on the device is wrong");
}

/// Rank 0 makes an id and leaves it in the file for the others.
gpu::NcclId id_by_file(const gpu::NcclApi& api, const std::string& file, int rank,
                       std::chrono::milliseconds patience) {
  gpu::NcclId id;
  if (rank == 0) {
    require(api.unique_id(&id) == gpu::nccl_success, "no unique id");
    std::ofstream(file + ".new", std::ios::binary).write(id.bytes.data(), sizeof(id.bytes));
    std::filesystem::rename(file + ".new", file);
    return id;
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!std::filesystem::exists(file)) {
    require(std::chrono::steady_clock::now() < until, "rank 0 leaves no id");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::ifstream(file, std::ios::binary).read(id.bytes.data(), sizeof(id.bytes));
  return id;
}

gpu::NcclPlace place_of(const Library& library, char** argv, std::chrono::milliseconds patience) {
  gpu::NcclPlace place{std::atoi(argv[2]), std::atoi(argv[3]), {}};
  const std::string id = argv[4];
  if (id.starts_with('@'))
    place.id = id_by_file(library->api, id.substr(1), place.rank, patience);
  else
    std::copy(id.begin(), id.end(), place.id.bytes.begin());
  return place;
}

void do_all(const Library& library, const gpu::NcclPlace& place,
            std::chrono::milliseconds deadline) {
  const auto group = gpu::make_staged_communicator(
      gpu::make_nccl_communicator(library->api, place, library->device->stream(), deadline),
      library->device);
  std::thread other;
  if (std::getenv("NCCL_RANK_ABORT") != nullptr)
    other = std::thread([&] { group->abort("the run was stopped"); });
  try {
    sums(*group);
    if (group->size() == 2) {
      carry(*group, *library->device);
      sum_on_device(*group, *library->device);
    }
  } catch (...) {
    if (other.joinable()) other.join();
    throw;
  }
  if (other.joinable()) other.join();
}

}  // namespace

int main(int, char** argv) {
  Library library;
  try {
    library = gpu::open_nccl(argv[1], argv[6]);
  } catch (const std::exception& error) {
    std::puts(error.what());
    return kNotHere;
  }
  try {
    const std::chrono::milliseconds deadline(std::atoi(argv[5]));
    do_all(library, place_of(library, argv, deadline), deadline);
    std::puts("ok");
    return 0;
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
