#include "gpu/training/packed_batch.hpp"

#include "gpu/error.hpp"
#include "tests/support/tiny_models.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("gpu/training");

namespace troupe::gpu {
namespace {

std::vector<std::int64_t> values(const at::Tensor& tensor) {
  const auto* data = tensor.data_ptr<std::int64_t>();
  return {data, data + tensor.size(0)};
}

TEST_CASE("sequences are packed without padding and targets point at the token before them") {
  const std::vector<std::int32_t> first{5, 6, 7}, second{8, 9};
  const std::vector<Sequence> sequences{{first, 2}, {second, 1}};
  const PackedBatch batch = pack(sequences, tiny_llama(), "cpu");
  CHECK(values(batch.ids) == std::vector<std::int64_t>{5, 6, 7, 8, 9});
  CHECK(values(batch.positions) == std::vector<std::int64_t>{0, 1, 2, 0, 1});
  CHECK(values(batch.padded) == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(values(batch.rows) == std::vector<std::int64_t>{1, 3});
  CHECK(values(batch.targets) == std::vector<std::int64_t>{7, 9});
  CHECK(batch.starts == std::vector<std::int64_t>{0, 3});
}

TEST_CASE("a micro-batch holds whole sequences up to its limit and at least one") {
  const std::vector<std::int32_t> four(4, 1), nine(9, 1);
  const std::vector<Sequence> sequences{{four, 1}, {four, 1}, {nine, 1}};
  CHECK(micro_batch(sequences, 8) == 2);
  CHECK(micro_batch(sequences, 7) == 1);
  CHECK(micro_batch(sequences, 17) == 3);
  CHECK(micro_batch(std::span(sequences).subspan(2), 5) == 1);
}

TEST_CASE("sequences the model cannot take are refused with the reason") {
  const std::vector<std::int32_t> long_one(65, 3), foreign{1, 26}, good{1, 2}, empty;
  const auto refused = [](const Sequence& sequence) {
    pack(std::span(&sequence, 1), tiny_llama(), "cpu");
  };
  CHECK_THROWS_AS(refused({long_one, 1}), Error);
  CHECK_THROWS_AS(refused({foreign, 1}), Error);
  CHECK_THROWS_AS(refused({good, 0}), Error);
  CHECK_THROWS_AS(refused({empty, 1}), Error);
  CHECK_NOTHROW(refused({good, 1}));
}

}  // namespace
}  // namespace troupe::gpu
TEST_SUITE_END();
