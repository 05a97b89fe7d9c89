# Decides whether libtroupe_cuda.so is built: nvcc, NCCL and the CUDA half of LibTorch must be there.
# TROUPE_CUDA = AUTO (build it if they are), ON (an error if they are not), OFF.
# Sets TROUPE_BUILD_CUDA; where it is true, enables the CUDA language and gives CUDA::cudart and NCCL::nccl.
set(TROUPE_CUDA AUTO CACHE STRING "Build libtroupe_cuda.so: AUTO, ON or OFF")
set_property(CACHE TROUPE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(TROUPE_BUILD_CUDA OFF)
if(NOT TROUPE_CUDA)
  message(STATUS "CUDA: left out (TROUPE_CUDA=OFF)")
  return()
endif()

# deploy/setup.sh --gpu puts the wheels of CUDA, nvcc and NCCL beside torch.
cmake_path(GET TROUPE_TORCH PARENT_PATH wheels)
set(wheels ${wheels}/nvidia)
find_program(TROUPE_NVCC nvcc HINTS ENV CUDACXX PATHS /usr/local/cuda/bin ${wheels}/cu13/bin)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ENV NCCL_ROOT
  PATHS /usr/local/cuda/include ${wheels}/nccl/include PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ENV NCCL_ROOT
  PATHS /usr/local/cuda/lib64 ${wheels}/nccl/lib PATH_SUFFIXES lib)
set(missing "")
if(NOT TROUPE_NVCC)
  list(APPEND missing "nvcc")
endif()
if(NOT NCCL_INCLUDE_DIR OR NOT NCCL_LIBRARY)
  list(APPEND missing "NCCL")
endif()
if(NOT TARGET LibTorch::cuda)
  list(APPEND missing "libtorch_cuda.so (deploy/setup.sh --gpu fetches it)")
endif()
if(missing)
  list(JOIN missing ", " missing)
  if(TROUPE_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA: left out, not found: ${missing}")
    return()
  endif()
  message(FATAL_ERROR "TROUPE_CUDA=${TROUPE_CUDA}, but not found: ${missing}")
endif()

if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${TROUPE_NVCC} CACHE FILEPATH "CUDA compiler")
endif()
# H200 and H100 with their own instructions; whatever else LibTorch serves compiles the PTX when it is loaded.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90a-real 75-virtual CACHE STRING "CUDA architectures")
endif()
set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no later one for nvcc; .cu files are small and need none
enable_language(CUDA)
# Not find_package(CUDAToolkit): that of CMake 3.25 ends with an error on the CUDA 13 wheels, which have no nvToolsExt.
cmake_path(GET TROUPE_NVCC PARENT_PATH toolkit)
cmake_path(GET toolkit PARENT_PATH toolkit)
find_path(CUDART_INCLUDE_DIR cuda_runtime_api.h HINTS ${toolkit}/include REQUIRED)
find_library(CUDART_LIBRARY cudart HINTS ${toolkit}/lib64 ${toolkit}/lib REQUIRED)
add_library(CUDA::cudart UNKNOWN IMPORTED)
set_target_properties(CUDA::cudart PROPERTIES IMPORTED_LOCATION ${CUDART_LIBRARY}
                      INTERFACE_INCLUDE_DIRECTORIES ${CUDART_INCLUDE_DIR})
add_library(NCCL::nccl UNKNOWN IMPORTED)
set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY}
                      INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
set(TROUPE_BUILD_CUDA ON)
message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}, NCCL ${NCCL_LIBRARY}")
