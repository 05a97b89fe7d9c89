// Our declarations of NCCL against its own header.
#include "gpu/transport/nccl_api.hpp"

#include <cstddef>
#include <nccl.h>

namespace troupe::gpu {

static_assert(sizeof(NcclId) == sizeof(ncclUniqueId) && alignof(NcclId) == alignof(ncclUniqueId));
static_assert(sizeof(NcclConfig) == sizeof(ncclConfig_t));
static_assert(offsetof(NcclConfig, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(NcclConfig, net_name) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(NcclConfig, comm_name) == offsetof(ncclConfig_t, commName));
static_assert(offsetof(NcclConfig, nvlink_centric_sched) ==
              offsetof(ncclConfig_t, nvlinkCentricSched));
static_assert(NcclConfig::kUnset == NCCL_CONFIG_UNDEF_INT);
static_assert(static_cast<int>(nccl_success) == static_cast<int>(ncclSuccess));
static_assert(static_cast<int>(nccl_in_progress) == static_cast<int>(ncclInProgress));
static_assert(static_cast<int>(nccl_uint8) == static_cast<int>(ncclUint8));
static_assert(static_cast<int>(nccl_float32) == static_cast<int>(ncclFloat32));
static_assert(static_cast<int>(nccl_sum) == static_cast<int>(ncclSum));
static_assert(sizeof(NcclComm) == sizeof(ncclComm_t));

}  // namespace troupe::gpu
