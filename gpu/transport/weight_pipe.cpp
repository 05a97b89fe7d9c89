#include "gpu/transport/weight_pipe.hpp"

#include "gpu/transport/weight_carrier.hpp"

#include <exception>
#include <utility>

namespace troupe::gpu {
namespace {

constexpr std::size_t kBucketFloats = std::size_t{8} << 20;  // 32 MiB

}  // namespace

WeightPipe::WeightPipe(std::shared_ptr<const NcclLibrary> library, const NcclPlace& place,
                       std::chrono::milliseconds deadline)
    : library_(std::move(library)), place_(place), deadline_(deadline) {
  thread_ = std::thread([this] { work(); });
}

WeightPipe::~WeightPipe() {
  abort("the pipe ends");
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WeightPipe::send(std::span<const float> values, Done done) {
  give({values, {}, std::move(done)});
}

void WeightPipe::receive(std::span<float> values, Done done) {
  give({{}, values, std::move(done)});
}

void WeightPipe::give(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void WeightPipe::abort(const std::string& why) {
  std::shared_ptr<Communicator> group;
  {
    const std::lock_guard lock(mutex_);
    if (lost_.empty()) lost_ = why;
    group = group_;
  }
  if (group) group->abort(why);
}

/// Every version given is answered, also those that come to nothing.
void WeightPipe::work() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ends_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job.done(carry(job));
  }
}

std::string WeightPipe::carry(const Job& job) {
  {
    const std::lock_guard lock(mutex_);
    if (!lost_.empty()) return lost_;
  }
  std::string problem;
  try {
    const std::shared_ptr<Communicator> both = group();
    WeightCarrier carrier(
        *both, {std::span(first_.get(), kBucketFloats), std::span(second_.get(), kBucketFloats)},
        [this](float* to, const float* from, std::size_t count) {
          if (count == 0) return;
          library_->device->copy(to, from, count * sizeof(float));
          moved_ += count * sizeof(float);
        });
    if (place_.rank == 0)
      carrier.send(job.from);
    else
      carrier.receive(job.to);
    return "";
  } catch (const std::exception& error) {
    problem = error.what();
  }
  abort(problem);
  return problem;
}

std::shared_ptr<Communicator> WeightPipe::group() {
  if (!first_) {
    first_ = library_->device->allocate(kBucketFloats);
    second_ = library_->device->allocate(kBucketFloats);
  }
  {
    const std::lock_guard lock(mutex_);
    if (group_) return group_;
  }
  std::shared_ptr<Communicator> made =
      make_nccl_communicator(library_->api, place_, library_->device->stream(), deadline_);
  const std::lock_guard lock(mutex_);
  if (!lost_.empty()) throw LostRank(lost_);
  return group_ = made;
}

}  // namespace troupe::gpu
