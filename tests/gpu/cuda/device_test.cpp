#include "gpu/device.hpp"

#include "gpu/error.hpp"

#include <doctest/doctest.h>

#include <ATen/Parallel.h>
#include <thread>
TEST_SUITE_BEGIN("gpu/cuda");

using namespace troupe::gpu;

TEST_CASE("the report names LibTorch and agrees with itself about CUDA") {
  const DeviceReport& report = probe_devices();
  CHECK(report.libtorch_version.starts_with("2."));
  CHECK((report.cuda_status == "not built in") == !CUDA_BUILT_IN);
  CHECK(resolve_device("auto") == (report.devices.empty() ? "cpu" : "cuda:0"));
  CHECK(&probe_devices() == &report);
}

TEST_CASE("a device beyond those found is refused") {
  CHECK_THROWS_AS(resolve_device("cuda:" + std::to_string(probe_devices().devices.size())), Error);
}

TEST_CASE("compute threads are set for the calling thread") {
  int seen = 0;
  std::thread([&seen] {
    set_compute_threads(2);
    seen = at::get_num_threads();
    set_compute_threads(1);
  }).join();
  CHECK(seen == 2);
  set_compute_threads(1);
  CHECK(at::get_num_threads() == 1);
}

TEST_CASE("fewer than one compute thread is refused") {
  CHECK_THROWS_WITH_AS(set_compute_threads(0), "a computing thread needs at least 1 thread, not 0",
                       Error);
}

TEST_CASE("the matrix product runs on a real BLAS and leaves the threads as they were") {
  set_compute_threads(2);
  const double gflops = matmul_gflops();
  CHECK(gflops > 0.1);  // a naive loop on a busy machine
  CHECK(gflops < 1e5);  // beyond any processor: a unit is wrong
  CHECK(at::get_num_threads() == 2);
  set_compute_threads(1);
}
