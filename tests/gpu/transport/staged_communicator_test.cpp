#include "gpu/transport/staged_communicator.hpp"

#include "gpu/transport/thread_communicator.hpp"
#include "tests/support/communicator_checks.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <set>

TEST_SUITE_BEGIN("gpu/transport");

namespace troupe::gpu {
namespace {

constexpr std::chrono::milliseconds kStagedPatience{30000};

/// Its memory is this process's, and it counts what it does.
class CountingDevice final : public NcclDevice {
 public:
  std::string identity() const override { return "a device"; }
  std::shared_ptr<DeviceStream> stream() override { return nullptr; }
  std::shared_ptr<float[]> allocate(std::size_t floats) override {
    std::shared_ptr<float[]> made(new float[floats]);
    first_.insert(made.get());
    return made;
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    ++copies;
    std::memcpy(to, from, bytes);
  }
  bool owns(const void* memory) const override {
    return first_.contains(static_cast<const float*>(memory));
  }
  void settle() override { ++settled; }

  std::atomic<int> copies = 0, settled = 0;

 private:
  std::set<const float*> first_;  // where allocations begin
};

/// Throws when it is given what the device does not own.
class OfDevice final : public Communicator {
 public:
  OfDevice(std::unique_ptr<Communicator> inner, std::shared_ptr<NcclDevice> device)
      : inner_(std::move(inner)), device_(std::move(device)) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  void all_reduce_sum(std::span<float> values) override {
    require(values.data());
    inner_->all_reduce_sum(values);
  }
  void reduce_scatter_sum(std::span<float> values, std::size_t block) override {
    require(values.data());
    inner_->reduce_scatter_sum(values, block);
  }
  void all_gather(std::span<std::byte> all, std::size_t block) override {
    require(all.data());
    inner_->all_gather(all, block);
  }
  void broadcast(std::span<std::byte> bytes, int root) override {
    require(bytes.data());
    inner_->broadcast(bytes, root);
  }
  void barrier() override { inner_->barrier(); }
  void abort(const std::string& why) override { inner_->abort(why); }

 private:
  void require(const void* memory) const {
    if (!device_->owns(memory)) throw Error("memory that the device does not reach");
  }
  const std::unique_ptr<Communicator> inner_;
  const std::shared_ptr<NcclDevice> device_;
};

using Devices = std::vector<std::shared_ptr<CountingDevice>>;

support::Ends staged(int ranks, std::size_t bucket, Devices& devices,
                     std::chrono::milliseconds deadline = kStagedPatience) {
  support::Ends ends;
  for (auto& end : make_thread_communicators(ranks, deadline)) {
    devices.push_back(std::make_shared<CountingDevice>());
    ends.push_back(make_staged_communicator(
        std::make_unique<OfDevice>(std::move(end), devices.back()), devices.back(), bucket));
  }
  return ends;
}

}  // namespace

TEST_CASE("what lies in host memory is summed in buckets of the device in the order of ranks") {
  for (const int ranks : {1, 2, 3, 4})
    for (const std::size_t count : {0, 1, 31, 64, 65, 1000, 5000})
      for (const std::size_t bucket : {4, 64, 100, 10000}) {
        Devices devices;
        support::check_sums(staged(ranks, bucket, devices), count);
      }
}

TEST_CASE("bytes of host memory are gathered and broadcast in buckets of the device") {
  for (const int ranks : {1, 2, 3, 4})
    for (const std::size_t bytes : {0, 1, 2, 255, 256, 257, 5001})
      for (const std::size_t bucket : {4, 64, 10000}) {
        Devices devices;
        support::check_copies(staged(ranks, bucket, devices), bytes);
      }
}

TEST_CASE("what lies in the device's memory is not copied and waits for the device alone") {
  Devices devices;
  const support::Ends ends = staged(2, 64, devices);
  constexpr std::size_t kCount = 1000;
  const std::vector<float> expected = support::sum_in_order(2, kCount);
  support::check_no_problem(support::on_all_ranks(ends, [&](Communicator& end) {
    CountingDevice& device = *devices[static_cast<std::size_t>(end.rank())];
    const auto memory = device.allocate(kCount);
    const std::span<float> values(memory.get(), kCount);
    const std::vector<float> own = support::values_of(end.rank(), kCount);
    std::copy(own.begin(), own.end(), values.begin());
    end.all_reduce_sum(values);
    if (!std::equal(values.begin(), values.end(), expected.begin())) throw Error("a wrong sum");
    end.reduce_scatter_sum(values, kCount / 2);
    end.all_gather(std::as_writable_bytes(values), kCount / 2 * sizeof(float));
    end.broadcast(std::as_writable_bytes(values), 1);
  }));
  for (const auto& device : devices) {
    CHECK(device->copies == 0);
    CHECK(device->settled == 4);
  }
}

TEST_CASE("a rank that is missed and an abort end a staged sum as they end any") {
  Devices devices;
  support::check_absence(staged(2, 64, devices, std::chrono::milliseconds(50)));
  support::check_abort(staged(2, 64, devices));
}

}  // namespace troupe::gpu
