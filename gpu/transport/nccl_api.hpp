#pragma once
// The functions of NCCL that Troupe calls, found at run time: nothing is linked to it. The
// declarations are those of nccl.h 2.28, compared with it where it is there (gpu/cuda/nccl_abi.cpp).
#include <array>
#include <climits>
#include <cstddef>
#include <string>

namespace troupe::gpu {

using NcclComm = void*;  // ncclComm_t

/// ncclUniqueId: made by one rank, told to the others over the link.
struct NcclId {
  std::array<char, 128> bytes{};
};

/// ncclResult_t, as far as it is told apart.
enum NcclResult : int { nccl_success = 0, nccl_in_progress = 7 };

/// ncclDataType_t and ncclRedOp_t, as far as they are used.
enum NcclType : int { nccl_uint8 = 1, nccl_float32 = 7 };
enum NcclOperation : int { nccl_sum = 0 };

/// ncclConfig_t: what is not set keeps NCCL's default.
struct NcclConfig {
  static constexpr int kUnset = INT_MIN;

  std::size_t size = sizeof(NcclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = 22800;
  int blocking = kUnset, cga_cluster_size = kUnset, least_ctas = kUnset, most_ctas = kUnset;
  const char* net_name = nullptr;
  int split_share = kUnset, traffic_class = kUnset;
  const char* comm_name = nullptr;
  int collnet_enable = kUnset, cta_policy = kUnset, shrink_share = kUnset, nvls_ctas = kUnset;
  int channels_per_net_peer = kUnset, nvlink_centric_sched = kUnset;
};

/// Safe from any thread, as far as NCCL is. Results are NcclResult, streams cudaStream_t.
struct NcclApi {
  int (*version)(int*) = nullptr;
  int (*unique_id)(NcclId*) = nullptr;
  int (*init)(NcclComm*, int size, NcclId, int rank, NcclConfig*) = nullptr;
  int (*async_error)(NcclComm, int*) = nullptr;
  int (*finalize)(NcclComm) = nullptr;
  int (*destroy)(NcclComm) = nullptr;
  int (*abort)(NcclComm) = nullptr;
  const char* (*error_text)(int) = nullptr;
  const char* (*last_error)(NcclComm) = nullptr;
  int (*group_start)() = nullptr;
  int (*group_end)() = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, int type, int operation, NcclComm,
                    void* stream) = nullptr;
  int (*reduce)(const void*, void*, std::size_t, int type, int operation, int root, NcclComm,
                void* stream) = nullptr;
  int (*broadcast)(const void*, void*, std::size_t, int type, int root, NcclComm,
                   void* stream) = nullptr;
};

/// Loads `file`, as dlopen looks it up, for good. Errors: gpu::Error naming the file, and the
/// function that it lacks or the version that is too old.
NcclApi load_nccl(const std::string& file);

}  // namespace troupe::gpu
