#include "gpu/transport/nccl_communicator.hpp"

#include "gpu/transport/nccl_session.hpp"

#include <functional>
#include <utility>

namespace troupe::gpu {
namespace {

/// Several operations as one, so that none waits for another's peer. The first bad answer counts.
int in_group(const NcclApi& api, int count, const std::function<int(int)>& operation) {
  int result = api.group_start();
  for (int i = 0; i < count; ++i)
    if (result == nccl_success || result == nccl_in_progress) result = operation(i);
  const int end = api.group_end();
  return result == nccl_success || result == nccl_in_progress ? end : result;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(const NcclApi& api, const NcclPlace& place, std::shared_ptr<DeviceStream> stream,
                   std::chrono::milliseconds deadline)
      : rank_(place.rank), size_(place.size), session_(api, place, std::move(stream), deadline) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce_sum(std::span<float> values) override {
    session_.run("all_reduce_sum", [&](const NcclApi& api, NcclComm comm, void* stream) {
      return api.all_reduce(values.data(), values.data(), values.size(), nccl_float32, nccl_sum,
                            comm, stream);
    });
  }

  /// Blocks may differ in length, so each is a reduction to its rank.
  void reduce_scatter_sum(std::span<float> values, std::size_t block) override {
    session_.run("reduce_scatter_sum", [&](const NcclApi& api, NcclComm comm, void* stream) {
      return in_group(api, size_, [&](int owner) {
        const FlatRange range = block_of(owner, block, values.size());
        float* const at = values.data() + range.first;
        return range.count == 0
                   ? static_cast<int>(nccl_success)
                   : api.reduce(at, at, range.count, nccl_float32, nccl_sum, owner, comm, stream);
      });
    });
  }

  void all_gather(std::span<std::byte> all, std::size_t block) override {
    session_.run("all_gather", [&](const NcclApi& api, NcclComm comm, void* stream) {
      return in_group(api, size_, [&](int owner) {
        const FlatRange range = block_of(owner, block, all.size());
        std::byte* const at = all.data() + range.first;
        return range.count == 0
                   ? static_cast<int>(nccl_success)
                   : api.broadcast(at, at, range.count, nccl_uint8, owner, comm, stream);
      });
    });
  }

  void broadcast(std::span<std::byte> bytes, int root) override {
    session_.run("broadcast", [&](const NcclApi& api, NcclComm comm, void* stream) {
      return api.broadcast(bytes.data(), bytes.data(), bytes.size(), nccl_uint8, root, comm,
                           stream);
    });
  }

  void barrier() override {
    session_.run("barrier", [&](const NcclApi& api, NcclComm comm, void* stream) {
      float* const scratch = session_.stream().scratch();
      return api.all_reduce(scratch, scratch, 1, nccl_float32, nccl_sum, comm, stream);
    });
  }

  void abort(const std::string& why) override { session_.abort(why); }

 private:
  const int rank_, size_;
  NcclSession session_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const NcclApi& api, const NcclPlace& place,
                                                     std::shared_ptr<DeviceStream> stream,
                                                     std::chrono::milliseconds deadline) {
  return std::make_unique<NcclCommunicator>(api, place, std::move(stream), deadline);
}

}  // namespace troupe::gpu
