// What a message between two actors costs: messages per second and ns per message, for rollouts of
// 100 B and of 64 KiB.
#include "messages/rollout.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <chrono>
#include <cstdio>
#include <vector>

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Rollout)

namespace troupe {
namespace {

using put_atom = caf::atom_constant<caf::atom("put")>;
using count_atom = caf::atom_constant<caf::atom("count")>;

Rollout rollout_of(std::uint32_t completion_tokens) {
  return Rollout::build([&](wire::Rollout::Builder rollout) {
    auto tokens = rollout.initTokens(completion_tokens + 1);
    for (unsigned i = 0; i < tokens.size(); ++i) tokens.set(i, 7);
    rollout.setPromptLength(1);
    auto log_probs = rollout.initLogProbs(completion_tokens);
    for (unsigned i = 0; i < completion_tokens; ++i) log_probs.set(i, -0.5f);
    rollout.initVersions(1)[0].setCount(completion_tokens);
  });
}

caf::behavior reader(caf::event_based_actor*) {
  return {[](put_atom, const Rollout& rollout) { (void)rollout.read().getLogProbs().size(); },
          [](count_atom) { return true; }};
}

/// make: gives the message to send each time.
template <class Make>
void measure(caf::actor_system& system, bool detached, const char* what, int messages, Make make) {
  const caf::actor to = detached ? system.spawn<caf::detached>(reader) : system.spawn(reader);
  caf::scoped_actor self(system);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < messages; ++i) self->send(to, put_atom::value, make());
  self->request(to, caf::infinite, count_atom::value)
      .receive([](bool) {}, [](const caf::error&) {});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%-38s %-9s %9.0f messages/s  %8.0f ns each\n", what,
              detached ? "detached" : "scheduled", messages / seconds, seconds / messages * 1e9);
  caf::anon_send_exit(to, caf::exit_reason::user_shutdown);
}

}  // namespace
}  // namespace troupe

int main() {
  using namespace troupe;
  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system system(config);
  for (const bool detached : {false, true}) {
    for (const std::uint32_t tokens : {1u, 8100u}) {
      const Rollout shared = rollout_of(tokens);
      const std::string size = std::to_string(shared.bytes()) + " B";
      measure(system, detached, ("send a shared rollout of " + size).c_str(), 300'000,
              [&] { return shared; });
      measure(system, detached, ("build, check and send one of " + size).c_str(),
              tokens > 100 ? 10'000 : 200'000, [&] { return rollout_of(tokens); });
    }
  }
  return 0;
}
