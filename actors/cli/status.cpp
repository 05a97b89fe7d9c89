#include "actors/cli/commands.hpp"
#include "actors/cli/process.hpp"
#include "messages/wire/kj_thread.hpp"
#include "messages/wire/network.hpp"
#include "messages/wire/remote.hpp"
#include "messages/wire/roles.capnp.h"

#include <fmt/format.h>
#include <iostream>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace troupe {
namespace {

using Report = capnp::Response<wire::ObserverPost::StatusResults>;

nlohmann::ordered_json as_json(wire::ObserverPost::StatusResults::Reader report) {
  nlohmann::ordered_json peers = nlohmann::ordered_json::array();
  for (const auto peer : report.getPeers()) {
    nlohmann::ordered_json one = {{"name", peer.getName().cStr()},
                                  {"role", peer.getRole().cStr()},
                                  {"address", peer.getAddress().cStr()},
                                  {"connected", peer.getConnected()},
                                  {"link", peer.getLink().cStr()},
                                  {"joins", peer.getJoins()},
                                  {"seconds_since_joined", peer.getSecondsSinceJoined()}};
    if (peer.getHasFacts()) {
      const auto facts = peer.getFacts();
      one["host"] = facts.getHost().cStr();
      one["process"] = facts.getProcessId();
      if (facts.getHasVersion()) {
        one["version"] = facts.getVersion();
        one["lag"] = peer.getLag();
      }
      one["in_flight"] = facts.getInFlight();
      one["tokens"] = facts.getTokens();
      one["tokens_per_second"] = facts.getTokensPerSecond();
      const double seconds = facts.getBusySeconds() + facts.getIdleSeconds();
      if (seconds > 0) one["idle_ratio"] = facts.getIdleSeconds() / seconds;
    }
    peers.push_back(one);
  }
  return {{"run", report.getRun().cStr()},
          {"stage", report.getStage().cStr()},
          {"update", report.getUpdate()},
          {"updates", report.getUpdates()},
          {"version", report.getVersion()},
          {"seconds", report.getSeconds()},
          {"peers", peers}};
}

std::string as_text(wire::ObserverPost::StatusResults::Reader report) {
  std::string text = fmt::format(
      "run {}: stage {}, update {} of {}, version {}, {:.0f} s\n\n", report.getRun().cStr(),
      report.getStage().size() == 0 ? "-" : report.getStage().cStr(), report.getUpdate(),
      report.getUpdates(), report.getVersion(), report.getSeconds());
  text += fmt::format("{:<20} {:<10} {:<22} {:>7} {:>4} {:>9} {:>10} {:>5}  {}\n", "name", "role",
                      "from", "version", "lag", "in flight", "per second", "idle", "link");
  for (const auto peer : report.getPeers()) {
    const auto facts = peer.getFacts();
    const double seconds = facts.getBusySeconds() + facts.getIdleSeconds();
    text += fmt::format(
        "{:<20} {:<10} {:<22} {:>7} {:>4} {:>9} {:>10.0f} {:>5}  {}\n", peer.getName().cStr(),
        peer.getRole().cStr(), peer.getAddress().cStr(),
        facts.getHasVersion() ? std::to_string(facts.getVersion()) : "-",
        facts.getHasVersion() ? std::to_string(peer.getLag()) : "-", facts.getInFlight(),
        facts.getTokensPerSecond(),
        seconds > 0 ? fmt::format("{:.0f}%", 100 * facts.getIdleSeconds() / seconds) : "-",
        peer.getConnected() ? peer.getLink().cStr() : "away");
  }
  if (report.getPeers().size() == 0) text += "nobody has joined\n";
  return text;
}

}  // namespace

int status(const StatusOptions& options) {
  try {
    NetworkConfig network;
    network.pki = options.pki;
    network.insecure = options.insecure;
    network.revocation_list = !options.no_revocation_list;
    auto io = kj::setupAsyncIo();
    const auto files = tls_files(network, options.name, "observer");
    kj::Own<wire::TlsContext> tls;
    wire::Dial dial = [&] {
      if (!files)
        return wire::insecure_dial(io.provider->getNetwork(), network.limits.silence_seconds);
      tls = kj::heap<wire::TlsContext>(*files, io.provider->getTimer());
      return wire::tls_dial(io.provider->getNetwork(), *tls, {"director", "replay-buffer"},
                            network.limits.silence_seconds);
    }();
    wire::Greeting greeting;
    greeting.name = options.name;
    greeting.role = "observer";
    greeting.process_id = static_cast<std::uint64_t>(getpid());
    auto came = kj::newPromiseAndFulfiller<wire::ObserverPost::Client>();
    std::string problem = "nobody answers";
    wire::Remote::Events events;
    events.joined = [&](wire::Welcome::Reader, capnp::Capability::Client role) {
      came.fulfiller->fulfill(role.castAs<wire::ObserverPost>());
    };
    events.missed = [&](const std::string& why) { problem = why; };
    events.refused = [&](const wire::JoinRefused& refusal) {
      came.fulfiller->reject(KJ_EXCEPTION(FAILED, refusal.text.c_str()));
      return false;
    };
    wire::Remote remote(io.provider->getTimer(), {options.address}, kj::mv(dial), greeting,
                        network.limits, kj::mv(events), 0);
    auto answer = came.promise.then(
        [](wire::ObserverPost::Client post) { return post.statusRequest().send(); });
    try {
      const Report report = io.provider->getTimer()
                                .timeoutAfter(wire::duration(options.seconds), kj::mv(answer))
                                .wait(io.waitScope);
      std::cout << (options.json ? as_json(report).dump(2) + "\n" : as_text(report)) << std::flush;
      return exit_ok;
    } catch (const kj::Exception& error) {
      const bool late = error.getType() == kj::Exception::Type::OVERLOADED;
      std::cerr << "troupe: " << options.address << ": "
                << (late ? problem : error.getDescription().cStr()) << "\n";
      return exit_failed;
    }
  } catch (const kj::Exception& error) {
    std::cerr << "troupe: " << error.getDescription().cStr() << "\n";
    return exit_bad_input;
  }
}

}  // namespace troupe
