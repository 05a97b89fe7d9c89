#pragma once
// Matrix product: blocks of up to kBand rows by four vectors of columns, weights in panels of 64.
// Included only by decode_table.hpp.
#include "gpu/kernels/decode_kernels.hpp"
#include "gpu/kernels/simd.hpp"

namespace troupe::gpu::TROUPE_ISA {
namespace {

constexpr Index kPanel = 64;
constexpr Index kSlice = 384;  // of the depth: a panel's slice stays in the first caches

/// One block in one slice of the depth. c stays in memory between slices: storing and reloading a
/// sum is exact, so that slices do not show in the result.
struct Block {
  Index row, column, begin, end;  // of c; of the depth
};

template <int Rows, int Vectors>
void product_block(const Gemm& g, const Block& at) {
  V16 sums[Rows][Vectors];
  float* c = g.c + at.row * g.c_row + at.column;
  const float* from = at.begin > 0 ? c : nullptr;
  Index from_row = g.c_row;
  if (at.begin == 0 && g.addend != nullptr) {
    from = g.addend + at.row * g.addend_row + at.column;
    from_row = g.addend_row;
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j)
      sums[i][j] = from ? load(from + i * from_row + 16 * j) : set1(0.0f);
  const float* a = g.a + at.row * g.a_row;
  const float* b = g.b + at.column / kPanel * g.b_panel + at.column % kPanel;
  for (Index k = at.begin; k < at.end; ++k) {
    V16 weights[Vectors];
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) weights[j] = load(b + k * g.b_k + 16 * j);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const V16 x = set1(a[i * g.a_row + k * g.a_k]);
#pragma GCC unroll 4
      for (int j = 0; j < Vectors; ++j) sums[i][j] = fma(x, weights[j], sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < Vectors; ++j) store(c + i * g.c_row + 16 * j, sums[i][j]);
}

using BlockFunction = void (*)(const Gemm&, const Block&);

template <int Rows, int Vectors>
constexpr BlockFunction block_function() {
  if constexpr (Rows <= kBand && (Rows * Vectors <= kAccumulators || Vectors == 1))
    return product_block<Rows, Vectors>;
  else
    return nullptr;
}
template <int Rows>
constexpr BlockFunction kBlocksOfRows[4] = {block_function<Rows, 1>(), block_function<Rows, 2>(),
                                            block_function<Rows, 3>(), block_function<Rows, 4>()};
constexpr const BlockFunction* kBlocks[6] = {kBlocksOfRows<1>, kBlocksOfRows<2>, kBlocksOfRows<3>,
                                             kBlocksOfRows<4>, kBlocksOfRows<5>, kBlocksOfRows<6>};

TROUPE_INLINE Index least(Index a, Index b) {
  return a < b ? a : b;
}

/// One panel, all rows, one slice. Rows are spread evenly, so that no band is left with a single
/// one.
void product_panel(const Gemm& g, Index panel, Index begin, Index end) {
  const Index panel_end = least(panel + kPanel, g.columns), bands = (g.rows + kBand - 1) / kBand;
  Index row = 0;
  for (Index band = 0; band < bands; ++band) {
    const Index rows = (g.rows - row + bands - band - 1) / (bands - band);
    const Index most = least(4, kAccumulators / rows > 1 ? kAccumulators / rows : 1);
    for (Index column = panel; column < panel_end;) {
      const Index vectors = least(most, (panel_end - column) / 16);
      kBlocks[rows - 1][vectors - 1](g, {row, column, begin, end});
      column += 16 * vectors;
    }
    row += rows;
  }
}

void gemm(const Gemm& g) {
  for (Index begin = 0; begin < g.depth; begin += kSlice)
    for (Index panel = 0; panel < g.columns; panel += kPanel)
      product_panel(g, panel, begin, least(begin + kSlice, g.depth));
}

}  // namespace
}  // namespace troupe::gpu::TROUPE_ISA
