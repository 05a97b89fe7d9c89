#include "actors/link/generator_proxies.hpp"

#include "actors/errors.hpp"

#include <algorithm>
#include <prometheus/counter.h>
#include <utility>

namespace troupe {

void BufferProxyState::begin(Self self, BufferProxyPlan plan) {
  self_ = self;
  plan_ = std::move(plan);
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

caf::result<Tickets> BufferProxyState::grant(std::uint32_t count) {
  if (spare_) return *std::exchange(spare_, std::nullopt);
  auto promise = self_->make_response_promise<Tickets>();
  askers_.add(promise, count, self_->clock().now());
  if (count_ == 0) count_ = count;
  ask();
  return promise;
}

/// Repeats the grant under way until it is answered: its sequence tells the other side that it is the same one.
void BufferProxyState::ask() {
  if (asking_ || count_ == 0) return;
  asking_ = true;
  plan_.way->grant(sequence_, count_,
                   {self_, [this](const caf::expected<Tickets>& tickets) { granted(tickets); }});
}

void BufferProxyState::granted(const caf::expected<Tickets>& tickets) {
  asking_ = false;
  if (!tickets) {
    const Errc code = code_of(tickets.error());
    if (code == Errc::link_lost || code == Errc::link_busy)
      return;  // until `attached` or the next check
    count_ = 0;
    ++sequence_;
    return askers_.refuse_all(tickets.error());
  }
  count_ = 0;
  ++sequence_;
  if (!askers_.empty()) {
    askers_.front().promise.deliver(*tickets);
    askers_.pop_front();
  } else if (!tickets->empty()) {
    spare_ = *tickets;
  }
  if (!askers_.empty()) {
    count_ = askers_.front().wish;
    ask();
  }
}

void BufferProxyState::notice(const RolloutNotices& notices) {
  notices_.insert(notices_.end(), notices.begin(), notices.end());
  send_notices();
}

std::size_t BufferProxyState::notices_that_fit() const {
  constexpr std::size_t kAtOnce = 1024;
  std::size_t count = 0, bytes = 0;
  for (; count < std::min(kAtOnce, notices_.size()); ++count) {
    const PartialRollout& part = notices_[count].part;
    bytes += part ? part.bytes() : 0;
    if (count > 0 && bytes > plan_.notice_bytes) break;
  }
  return count;
}

void BufferProxyState::send_notices() {
  if (sending_) return;
  if (notices_.empty()) {
    for (auto& flusher : flushers_) flusher.deliver(true);
    return flushers_.clear();
  }
  sending_ = true;
  const std::size_t count = notices_that_fit();
  const RolloutNotices batch(notices_.begin(),
                             notices_.begin() + static_cast<std::ptrdiff_t>(count));
  plan_.way->notice(
      batch, {self_, [this, count](const caf::expected<caf::unit_t>& sent) { told(count, sent); }});
}

/// Notices that are refused for good are counted: what they spoke of is dropped when the generator is gone.
void BufferProxyState::told(std::size_t count, const caf::expected<caf::unit_t>& sent) {
  sending_ = false;
  const Errc code = sent ? Errc::none : code_of(sent.error());
  if (code == Errc::link_lost || code == Errc::link_busy) return;  // sent again later
  if (!sent)
    plan_.telemetry->metrics()
        .counter("troupe_actor_dropped_messages_total", "notice_refused")
        .Increment(static_cast<double>(count));
  notices_.erase(notices_.begin(), notices_.begin() + static_cast<std::ptrdiff_t>(count));
  send_notices();
}

caf::result<bool> BufferProxyState::flush() {
  auto promise = self_->make_response_promise<bool>();
  flushers_.push_back(promise);
  send_notices();
  return promise;
}

void BufferProxyState::attached() {
  ask();
  send_notices();
}

void BufferProxyState::check() {
  attached();
  askers_.answer_impatient(self_->clock().now(), plan_.deadlines.patience() * 2);
  self_->delayed_send(self_, plan_.deadlines.check_interval(), check_atom::value);
}

caf::behavior buffer_proxy(BufferProxyState::Self self, BufferProxyPlan plan) {
  auto& state = self->state;
  state.begin(self, std::move(plan));
  return {
      errand_handler(self),
      [&state](grant_atom, const std::string&, std::uint32_t count) { return state.grant(count); },
      [&state](notice_atom, const RolloutNotices& notices) { state.notice(notices); },
      [&state](flush_atom) { return state.flush(); },
      [&state](attached_atom) { state.attached(); },
      [&state](check_atom) { state.check(); },
  };
}

void BroadcasterProxyState::begin(Self self, std::shared_ptr<WeightWay> way, Deadlines deadlines) {
  self_ = self;
  way_ = std::move(way);
  deadlines_ = deadlines;
  self_->delayed_send(self_, deadlines_.check_interval(), check_atom::value);
}

caf::result<Weights> BroadcasterProxyState::take(std::uint64_t at_least) {
  auto promise = self_->make_response_promise<Weights>();
  askers_.forget_if(
      [](std::uint64_t) { return true; });  // whoever asks again has given up on the answer before
  askers_.add(promise, at_least, self_->clock().now());
  ask();
  return promise;
}

void BroadcasterProxyState::ask() {
  if (asking_ || askers_.empty()) return;
  asking_ = true;
  way_->next(askers_.front().wish,
             {self_, [this](const caf::expected<Weights>& weights) { came(weights); }});
}

void BroadcasterProxyState::came(const caf::expected<Weights>& weights) {
  asking_ = false;
  if (!weights) {
    const Errc code = code_of(weights.error());
    if (code == Errc::link_lost || code == Errc::link_busy || code == Errc::digest_mismatch)
      return;  // fetched again
    return askers_.refuse_all(weights.error());
  }
  if (askers_.empty()) return;  // asked for again by whoever wants it
  askers_.front().promise.deliver(*weights);
  askers_.pop_front();
  ask();
}

void BroadcasterProxyState::check() {
  // Not while a version is on its way: a large one takes its time, and its own deadline watches that it moves.
  if (!asking_) askers_.answer_impatient(self_->clock().now(), deadlines_.patience() * 2);
  ask();
  self_->delayed_send(self_, deadlines_.check_interval(), check_atom::value);
}

caf::behavior broadcaster_proxy(BroadcasterProxyState::Self self, std::shared_ptr<WeightWay> way,
                                Deadlines deadlines) {
  auto& state = self->state;
  state.begin(self, std::move(way), deadlines);
  return {
      errand_handler(self),
      [&state](take_atom, const std::string&, std::uint64_t at_least) {
        return state.take(at_least);
      },
      [&state](attached_atom) { state.attached(); },
      [&state](check_atom) { state.check(); },
  };
}

}  // namespace troupe
