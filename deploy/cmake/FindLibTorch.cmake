# LibTorch as the PyPI wheel of torch ships it (deploy/setup.sh puts it there), without the wheel's own
# CMake package, which ends with an error on a machine that has no CUDA toolkit.
# TROUPE_TORCH, a CMake or an environment variable, names the directory of the torch package.
# Gives LibTorch::cpu and, where libtorch_cuda.so is present, LibTorch::cuda.
include(FindPackageHandleStandardArgs)
set(TROUPE_TORCH "$ENV{TROUPE_TORCH}" CACHE PATH "Directory of the torch package: include/ and lib/")
if(NOT TROUPE_TORCH)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(torch_cache "$ENV{XDG_CACHE_HOME}")
  else()
    set(torch_cache "$ENV{HOME}/.cache")
  endif()
  set(TROUPE_TORCH "${torch_cache}/troupe/libtorch-2.11.0/torch" CACHE PATH "" FORCE)
endif()
find_file(LibTorch_CPU_LIBRARY libtorch_cpu.so PATHS ${TROUPE_TORCH}/lib NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE_DIR ATen/core/Tensor.h PATHS ${TROUPE_TORCH}/include NO_DEFAULT_PATH)
if(LibTorch_INCLUDE_DIR)
  file(STRINGS ${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h version_lines
       REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" version_numbers "${version_lines}")
  list(JOIN version_numbers "." LibTorch_VERSION)
endif()
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run deploy/setup.sh, or set TROUPE_TORCH to the torch directory of a LibTorch >= 2.11")
if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE
    ${TROUPE_TORCH}/include ${TROUPE_TORCH}/include/torch/csrc/api/include)
  target_link_directories(LibTorch::cpu INTERFACE ${TROUPE_TORCH}/lib)
  # Never libtorch.so: it pulls in libtorch_cuda, which does not load on a machine without CUDA.
  target_link_libraries(LibTorch::cpu INTERFACE torch_cpu c10)
  target_link_options(LibTorch::cpu INTERFACE
    -Wl,-rpath,${TROUPE_TORCH}/lib -Wl,--allow-shlib-undefined -Wl,--as-needed)
  find_file(LibTorch_CUDA_LIBRARY libtorch_cuda.so PATHS ${TROUPE_TORCH}/lib NO_DEFAULT_PATH)
  if(LibTorch_CUDA_LIBRARY)
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    # Nothing refers to torch_cuda by symbol: its static initialisers register the kernels.
    target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
      -Wl,--no-as-needed torch_cuda c10_cuda -Wl,--as-needed)
  endif()
endif()
