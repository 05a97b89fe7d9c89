#pragma once
// One rank's training engine among its peers'.
#include "gpu/training/training_engine.hpp"
#include "gpu/transport/communicator.hpp"

#include <memory>

namespace troupe::gpu {

enum class OptimizerState { whole, sharded };

/// Every rank makes the same calls with the same arguments, the whole batch, and computes its part
/// of it (rank_parts); `weigh` is called for that part only. The gradient is summed over ranks in
/// `gradient_norm`, so a step needs that call before it. Then all hold the same weights: whole, by
/// stepping all of them; sharded (ZeRO-1, arXiv:1910.02054), by stepping one's own shard and
/// gathering the others'. Both give the same bits. `copy_weights` after an error that came out of
/// `step` gives the weights before that step.
/// Errors: as Communicator, from every call that computes.
std::unique_ptr<TrainingEngine> make_data_parallel_engine(std::unique_ptr<TrainingEngine> own,
                                                          std::shared_ptr<Communicator> peers,
                                                          OptimizerState state);

}  // namespace troupe::gpu
