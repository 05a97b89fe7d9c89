#include "messages/wire/remote.hpp"

#include <algorithm>
#include <kj/debug.h>
#include <utility>

namespace troupe::wire {

Remote::Remote(kj::Timer& timer, std::vector<std::string> addresses, Dial dial, Greeting greeting,
               const LinkLimits& limits, Events events, std::uint64_t seed)
    : timer_(timer),
      addresses_(std::move(addresses)),
      dial_(kj::mv(dial)),
      greeting_(std::move(greeting)),
      limits_(limits),
      events_(kj::mv(events)),
      dice_(seed),
      pause_seconds_(limits.redial_first_seconds),
      life_(nullptr) {
  KJ_REQUIRE(!addresses_.empty(), "there is no address to dial");
  life_ = kj::evalLater([this] { return live(); }).eagerlyEvaluate([](kj::Exception&& exception) {
    KJ_LOG(ERROR, "a link gave up", exception.getDescription());
  });
}

capnp::Capability::Client Remote::role() {
  KJ_IF_MAYBE (role, role_) {
    return *role;
  }
  kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "not connected", status_.address.c_str(),
                                       status_.last_reason.c_str()));
}

kj::Promise<void> Remote::live() {
  return kj::evalNow([this] { return attempt(); })
      .then([] { return true; },
            [this](kj::Exception&& exception) {
              leave(exception.getDescription().cStr());
              return goes_on(exception);
            })
      .then([this](bool again) -> kj::Promise<void> {
        status_.stopped = !again;
        if (!again) return kj::READY_NOW;
        next_address_ = (next_address_ + 1) % addresses_.size();
        if (next_address_ != 0) return live();
        return timer_.afterDelay(pause()).then([this] { return live(); });
      });
}

kj::Promise<void> Remote::attempt() {
  ++status_.dials;
  status_.address = addresses_[next_address_];
  auto dialled = kj::evalNow([this] { return dial_(status_.address); });
  return timer_.timeoutAfter(duration(limits_.handshake_seconds), kj::mv(dialled))
      .then([this](kj::Own<kj::AsyncIoStream> stream) { return stay(kj::mv(stream)); });
}

kj::Promise<void> Remote::stay(kj::Own<kj::AsyncIoStream> stream) {
  auto session = kj::heap<Session>(kj::mv(stream), Session::Side::CLIENT, timer_, limits_);
  auto talk = greet(session->peer().castAs<Gate>());
  auto over = session->ended().then([](const End& end) -> kj::Promise<void> {
    const auto text = std::string(to_string(end.reason)) + ": " + end.text;
    return kj::Exception(kj::Exception::Type::DISCONNECTED, "troupe", 0, kj::str(text.c_str()));
  });
  return talk.exclusiveJoin(kj::mv(over)).attach(kj::mv(session));
}

kj::Promise<void> Remote::greet(Gate::Client gate) {
  auto request = gate.joinRequest();
  auto hello = request.initHello();
  hello.setName(greeting_.name.c_str());
  hello.setRole(greeting_.role.c_str());
  hello.setProtocol(PROTOCOL_VERSION);
  hello.setRunId(greeting_.run_id.c_str());
  hello.setConfigDigest(greeting_.config_digest.c_str());
  hello.setHost(greeting_.host.c_str());
  hello.setProcessId(greeting_.process_id);
  hello.setLease(status_.lease);
  hello.setIncarnation(greeting_.incarnation);
  auto answered = request.send().then(
      [this](capnp::Response<Gate::JoinResults>&& response) { welcome(response.getWelcome()); });
  return timer_.timeoutAfter(duration(limits_.silence_seconds), kj::mv(answered))
      .then([this, gate]() mutable { return ping(kj::mv(gate), 0); });
}

kj::Promise<void> Remote::ping(Gate::Client gate, std::uint64_t sequence) {
  auto request = gate.pingRequest();
  request.setSequence(sequence);
  const auto sent = timer_.now();
  auto answered = request.send().then([this, sent](auto&&) {
    status_.round_trip_seconds = static_cast<double>((timer_.now() - sent) / kj::NANOSECONDS) / 1e9;
    pause_seconds_ = limits_.redial_first_seconds;  // it works: the next failure is a new one
  });
  return timer_.timeoutAfter(duration(limits_.silence_seconds), answered.attach(kj::mv(request)))
      .then([this] { return timer_.afterDelay(duration(limits_.heartbeat_seconds)); })
      .then([this, gate, sequence]() mutable { return ping(kj::mv(gate), sequence + 1); });
}

void Remote::welcome(Welcome::Reader welcome) {
  role_ = welcome.getRole();
  ++status_.joins;
  status_.connected = true;
  status_.epoch = welcome.getEpoch();
  status_.lease = welcome.getLease();
  KJ_IF_MAYBE (joined, events_.joined) {
    (*joined)(welcome, welcome.getRole());
  }
}

void Remote::leave(const std::string& why) {
  role_ = nullptr;
  status_.last_reason = why;
  if (std::exchange(status_.connected, false)) {
    KJ_IF_MAYBE (left, events_.left) {
      (*left)(why);
    }
  } else {
    KJ_IF_MAYBE (missed, events_.missed) {
      (*missed)(why);
    }
  }
}

bool Remote::goes_on(const kj::Exception& exception) {
  KJ_IF_MAYBE (refused, join_refused(exception)) {
    KJ_IF_MAYBE (decide, events_.refused) {
      return (*decide)(*refused);
    }
    return !is_final(refused->reason);
  }
  return true;
}

kj::Duration Remote::pause() {
  const auto seconds = pause_seconds_;
  pause_seconds_ = std::min(2 * pause_seconds_, limits_.redial_longest_seconds);
  const auto jitter = static_cast<double>(dice_() >> 11) * 0x1p-53;  // [0, 1)
  return duration(seconds * (1 - 0.5 * jitter));
}

}  // namespace troupe::wire
