#include "actors/link/batch_proxy.hpp"

#include "actors/errors.hpp"
#include "actors/link/generator_proxies.hpp"  // flush_atom

#include <utility>

namespace troupe {
namespace {

bool passes(const caf::error& error) {
  const Errc code = code_of(error);
  return code == Errc::link_lost || code == Errc::link_busy;
}

}  // namespace

void BatchProxyState::begin(Self self, std::shared_ptr<BatchWay> way, Deadlines deadlines) {
  self_ = self;
  way_ = std::move(way);
  deadlines_ = deadlines;
  self_->delayed_send(self_, deadlines_.check_interval(), check_atom::value);
}

caf::result<BatchPtr> BatchProxyState::take(const TrainedReport& report) {
  if (report.had_batch) unsettled_ = report;
  askers_.forget_if([](PolicyVersion) { return true; });  // whoever asks again has given up before
  auto promise = self_->make_response_promise<BatchPtr>();
  askers_.add(promise, report.version, self_->clock().now());
  ask();
  return promise;
}

void BatchProxyState::ask() {
  if (asking_ || askers_.empty()) return;
  asking_ = true;
  TrainedReport report = unsettled_.value_or(TrainedReport{});
  report.version = askers_.front().wish;
  way_->take(report, {self_, [this](const caf::expected<BatchPtr>& batch) { came(batch); }});
}

void BatchProxyState::came(const caf::expected<BatchPtr>& batch) {
  asking_ = false;
  if (!batch) {
    if (!passes(batch.error())) askers_.refuse_all(batch.error());
    return;  // asked again with `attached` or the next check
  }
  settled();                    // with the take
  if (askers_.empty()) return;  // the other side keeps what it answered
  askers_.front().promise.deliver(*batch);
  askers_.pop_front();
}

void BatchProxyState::settle(const TrainedReport& report) {
  if (!report.had_batch) return;
  unsettled_ = report;
  send_settle();
}

void BatchProxyState::send_settle() {
  if (settling_ || !unsettled_ || !askers_.empty()) return;  // a take settles too
  settling_ = true;
  way_->settle(*unsettled_, {self_, [this](const caf::expected<caf::unit_t>& sent) {
                               settling_ = false;
                               if (sent || !passes(sent.error())) settled();
                             }});
}

void BatchProxyState::settled() {
  unsettled_.reset();
  for (auto& flusher : flushers_) flusher.deliver(true);
  flushers_.clear();
}

caf::result<bool> BatchProxyState::flush() {
  if (!unsettled_) return true;
  auto promise = self_->make_response_promise<bool>();
  flushers_.push_back(promise);
  send_settle();
  return promise;
}

void BatchProxyState::attached() {
  ask();
  send_settle();
}

void BatchProxyState::check() {
  attached();
  askers_.answer_impatient(self_->clock().now(), deadlines_.patience() * 2);
  self_->delayed_send(self_, deadlines_.check_interval(), check_atom::value);
}

caf::behavior batch_proxy(BatchProxyState::Self self, std::shared_ptr<BatchWay> way,
                          Deadlines deadlines) {
  auto& state = self->state;
  state.begin(self, std::move(way), deadlines);
  return {
      errand_handler(self),
      [&state](take_atom, const TrainedReport& report) { return state.take(report); },
      [&state](settle_atom, const TrainedReport& report) { state.settle(report); },
      [&state](flush_atom) { return state.flush(); },
      [&state](attached_atom) { state.attached(); },
      [&state](check_atom) { state.check(); },
  };
}

}  // namespace troupe
