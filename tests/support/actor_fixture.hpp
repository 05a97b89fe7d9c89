#pragma once
// Actors on CAF's deterministic scheduler: no threads, no wall clock.
#include "actors/telemetry/telemetry.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/expected.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::support {

struct TestingConfig : caf::actor_system_config {
  TestingConfig() {
    set("scheduler.policy", caf::atom("testing"));
    set("scheduler.max-throughput", 1u);  // one message at a time, so that actors really interleave
  }
};

/// A run directory of its own, removed at the end.
struct TemporaryRun {
  TemporaryRun() {
    std::string pattern = (std::filesystem::temp_directory_path() / "troupe-test-XXXXXX").string();
    directory = mkdtemp(pattern.data());
    TelemetryOptions options;
    options.run_directory = directory;
    options.quiet = true;
    options.run_name = "test";
    telemetry = std::make_unique<Telemetry>(options);
  }
  ~TemporaryRun() {
    telemetry.reset();
    std::filesystem::remove_all(directory);
  }
  std::filesystem::path directory;
  std::unique_ptr<Telemetry> telemetry;
};

struct ActorFixture {
  ~ActorFixture() {
    for (const caf::actor& actor : kept) caf::anon_send_exit(actor, caf::exit_reason::kill);
    settle();
  }
  /// An actor that sends itself messages for ever must be gone before the system is.
  template <class Handle>
  Handle keep(Handle handle) {
    kept.push_back(caf::actor_cast<caf::actor>(handle));
    return handle;
  }
  std::vector<caf::actor> kept;

  TemporaryRun run;
  TestingConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& scheduler =
      static_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  caf::scoped_actor self{system};

  Telemetry* telemetry() { return run.telemetry.get(); }

  void settle() { scheduler.run(); }
  void advance(std::chrono::nanoseconds time) {
    scheduler.advance_time(time);
    scheduler.run();
  }

  /// What became of a request; empty until it is answered.
  template <class T>
  struct Asked {
    std::optional<caf::expected<T>> answer;
    bool answered() const { return answer.has_value(); }
  };

  /// Sends and returns at once; the answer appears after settle().
  template <class T, class Handle, class... Values>
  std::shared_ptr<Asked<T>> ask_later(const Handle& to, Values... values) {
    auto asked = std::make_shared<Asked<T>>();
    keep(system.spawn([=](caf::event_based_actor* asker) -> caf::behavior {
      asker->request(to, caf::infinite, values...)
          .then([asked](const T& value) { asked->answer.emplace(value); },
                [asked](const caf::error& error) { asked->answer.emplace(error); });
      return {[](int) {}};  // lives on: its death would mean something to who answered
    }));
    return asked;
  }
  /// Sends, runs every actor until idle, returns the answer. REQUIRES: it is answered at once.
  template <class T, class Handle, class... Values>
  caf::expected<T> ask(const Handle& to, Values... values) {
    const auto asked = ask_later<T>(to, values...);
    settle();
    if (!asked->answered()) return caf::make_error(caf::sec::request_timeout);
    return *asked->answer;
  }
};

}  // namespace troupe::support
