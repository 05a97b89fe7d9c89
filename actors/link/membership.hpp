#pragma once
// How a process belongs to a run: its link to the process with the gate, from the first dial to the end.
#include "actors/link/site_report.hpp"
#include "actors/telemetry/telemetry.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/limits.hpp"
#include "messages/wire/remote.hpp"
#include "messages/wire/tls.hpp"

#include <cstdint>
#include <functional>
#include <kj/async.h>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct MemberPlan {
  std::string name, role;
  std::string gate_role = "director";  // whose process has the gate: "director" or "replay-buffer"
  std::vector<std::string> addresses;  // of that process, tried in turn
  std::optional<wire::TlsFiles> tls;   // none: plain TCP, loopback only
  wire::LinkLimits limits;
  std::string config_digest;
  std::string host{};  // what the run is told of where it is; empty: the machine's name
  double away_deadline_seconds = 600;  // without it; then this process ends
  Telemetry* telemetry = nullptr;
  /// Asked about once a second, on the loop; tokens per second are filled in.
  std::function<SiteReport()> report;
};

/// Why a process has nothing left to do.
struct SiteEnd {
  enum class Kind { dismissed, left, refused, away_too_long, actor_died } kind = Kind::dismissed;
  std::string text;
};

/// What Hello says of this process.
wire::Greeting greeting_of(const MemberPlan& plan);

/// Lives on the loop.
class Membership final : private kj::TaskSet::ErrorHandler {
 public:
  /// Called on the loop. They must not destroy the membership.
  struct Events {
    std::function<void(capnp::Capability::Client post)> joined;
    std::function<void()> left;  // after each joined, once
    std::function<kj::Promise<void>(capnp::Capability::Client post, const SiteReport& facts)>
        report;
    std::function<void(SiteEnd end)> over;  // refused for good, or away too long
  };

  /// `tls`: null: plain. It must outlive this.
  Membership(wire::Loop& loop, const MemberPlan& plan, wire::TlsContext* tls, Events events);

  /// What was granted. Errors: throws DISCONNECTED while away.
  capnp::Capability::Client post() { return remote_->role(); }
  bool away() const { return away_; }
  /// Of the last welcome; empty: none yet.
  const std::string& run_id() const { return run_id_; }
  /// From now on the loss of the link is nothing to speak of.
  void quiet() { quiet_ = true; }

 private:
  void joined(wire::Welcome::Reader welcome, capnp::Capability::Client post);
  void left(const std::string& why);
  void show_link();
  bool refused(const wire::JoinRefused& refusal);
  kj::Promise<void> report();
  kj::Promise<void> watch_absence(std::uint64_t absence);
  void taskFailed(kj::Exception&& exception) override;

  const MemberPlan plan_;
  kj::Timer& timer_;
  Events events_;
  std::string run_id_;
  std::uint64_t absences_ = 0;  // counts the times the link was lost; even the first is one
  bool away_ = true, quiet_ = false;
  std::uint64_t reported_tokens_ = 0;
  kj::Own<wire::Remote> remote_;
  kj::TaskSet tasks_{*this};
};

}  // namespace troupe
