#include "gpu/transport/nccl_api.hpp"

#include "gpu/error.hpp"

#include <dlfcn.h>

namespace troupe::gpu {
namespace {

constexpr int kOldest = 21800;  // ncclCommInitRankConfig with blocking = 0

template <class Function>
void find(void* library, const std::string& file, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) throw Error(file + " is not the NCCL that is needed: no " + name);
}

}  // namespace

NcclApi load_nccl(const std::string& file) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw Error(std::string("NCCL is not loaded: ") + dlerror());
  NcclApi api;
  find(library, file, "ncclGetVersion", api.version);
  find(library, file, "ncclGetUniqueId", api.unique_id);
  find(library, file, "ncclCommInitRankConfig", api.init);
  find(library, file, "ncclCommGetAsyncError", api.async_error);
  find(library, file, "ncclCommFinalize", api.finalize);
  find(library, file, "ncclCommDestroy", api.destroy);
  find(library, file, "ncclCommAbort", api.abort);
  find(library, file, "ncclGetErrorString", api.error_text);
  find(library, file, "ncclGetLastError", api.last_error);
  find(library, file, "ncclGroupStart", api.group_start);
  find(library, file, "ncclGroupEnd", api.group_end);
  find(library, file, "ncclAllReduce", api.all_reduce);
  find(library, file, "ncclReduce", api.reduce);
  find(library, file, "ncclBroadcast", api.broadcast);
  int version = 0;
  if (api.version(&version) != nccl_success || version < kOldest)
    throw Error(file + " is NCCL " + std::to_string(version) + ", needed is " +
                std::to_string(kOldest) + " or newer");
  return api;
}

}  // namespace troupe::gpu
