// The whole way of a version from a broadcaster to another process: packed, carried, opened. Both ends on one loop,
// without a link between them.
#include "actors/broadcaster/broadcaster.hpp"
#include "actors/link/weight_dispatch.hpp"
#include "actors/link/weight_intake.hpp"
#include "tests/support/actor_fixture.hpp"
#include "tests/support/fake_nccl/named_device.hpp"
#include "tests/support/link.hpp"

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <kj/async-io.h>
#include <optional>
#include <prometheus/counter.h>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

constexpr std::uint64_t kElements = 700'001;  // three buckets, the last no whole words
const std::string kDigest(32, 'a');

WeightTerms terms(CarrierUse carrier, DeltaUse delta) {
  return {{{"w", "float32", {kElements}, 0}}, carrier, delta};
}

/// Sits between a source and an intake and damages what passes.
class Meddler final : public wire::WeightSink::Server {
 public:
  struct Mischief {
    bool flip_header = false, flip_bucket = false, wrong_token = false;
    int begins = 0, buckets = 0, maps = 0, changes = 0;
  };
  Meddler(wire::WeightSink::Client inner, Mischief& mischief)
      : inner_(kj::mv(inner)), mischief_(mischief) {}
  kj::Promise<void> begin(BeginContext context) override {
    ++mischief_.begins;
    auto request = inner_.beginRequest();
    request.setHeader(context.getParams().getHeader());
    if (mischief_.flip_header) request.getHeader().getSha256()[0] ^= 1;
    return request.send().ignoreResult();
  }
  kj::Promise<void> bucket(BucketContext context) override {
    const auto params = context.getParams();
    ++mischief_.buckets;
    auto request = inner_.bucketRequest();
    request.setOffset(params.getOffset());
    request.setBytes(params.getBytes());
    request.setDigest(params.getDigest());
    if (mischief_.flip_bucket) request.getBytes()[5] ^= 1;
    return request.send();
  }
  kj::Promise<void> commit(CommitContext) override {
    return inner_.commitRequest().send().ignoreResult();
  }
  kj::Promise<void> map(MapContext context) override {
    ++mischief_.maps;
    auto request = inner_.mapRequest();
    request.setSocket(context.getParams().getSocket());
    request.setToken(context.getParams().getToken());
    if (mischief_.wrong_token) request.getToken()[0] ^= 1;
    return request.send().then([context](auto&& results) mutable {
      context.getResults().setRefusal(results.getRefusal());
    });
  }
  kj::Promise<void> change(ChangeContext context) override {
    ++mischief_.changes;
    auto request = inner_.changeRequest();
    request.setBase(context.getParams().getBase());
    request.setBytes(context.getParams().getBytes());
    return request.send().ignoreResult();
  }
  kj::Promise<void> nccl(NcclContext context) override {
    auto request = inner_.ncclRequest();
    request.setId(context.getParams().getId());
    return request.send().then([context](auto&& results) mutable {
      context.getResults().setRefusal(results.getRefusal());
    });
  }

 private:
  wire::WeightSink::Client inner_;
  Mischief& mischief_;
};

class MeddlingSource final : public wire::WeightSource::Server {
 public:
  MeddlingSource(wire::WeightSource::Client inner, Meddler::Mischief& mischief)
      : inner_(kj::mv(inner)), mischief_(mischief) {}
  kj::Promise<void> next(NextContext context) override {
    const auto params = context.getParams();
    auto request = inner_.nextRequest();
    request.setAtLeast(params.getAtLeast());
    request.setReceiver(params.getReceiver());
    request.setSink(kj::heap<Meddler>(params.getSink(), mischief_));
    return request.send().then(
        [context](auto&& results) mutable { context.getResults().setSent(results.getSent()); });
  }

 private:
  wire::WeightSource::Client inner_;
  Meddler::Mischief& mischief_;
};

/// The NCCL of both ends.
struct NcclEnds {
  NcclTerms sender, receiver;
};

/// A process that publishes and one that receives.
struct Transfer {
  Transfer(CarrierUse carrier, DeltaUse delta, std::optional<WeightManifest> other = {},
           const NcclEnds& nccl = {}) {
    WeightTerms receiving = terms(carrier, delta), sending = receiving;
    receiving.nccl = nccl.receiver;
    sending.nccl = nccl.sender;
    if (other) receiving.manifest = *other;
    dispatch.emplace(loop, sending, *run.telemetry);
    intake.emplace(loop, receiving, 20.0, Deadlines{}, system, *run.telemetry);
    source = kj::heap<MeddlingSource>(
        dispatch->source({porter, Deadlines{}.request}, published, "g"), mischief);
  }
  ~Transfer() {
    source = nullptr;
    for (const auto& actor : {porter, caf::actor_cast<caf::actor>(published)})
      caf::anon_send_exit(actor, caf::exit_reason::kill);
  }

  /// Publishes a version in which the first `changed` values differ from the one before.
  void publish(std::uint64_t version, std::uint64_t changed = kElements) {
    const auto next = std::shared_ptr<float[]>(new float[kElements]);
    for (std::uint64_t i = 0; i < kElements; ++i)
      next[i] = i < changed || !newest ? static_cast<float>(i + version) : newest[i];
    newest = next;
    caf::anon_send(published, publish_atom::value, Weights(version, kDigest, next, kElements));
  }
  Weights fetch(std::uint64_t at_least) {
    auto& from = KJ_ASSERT_NONNULL(source);
    return intake->fetch(from, at_least).wait(io.waitScope);
  }
  std::string refusal(std::uint64_t at_least) {
    return support::problem_of([&] { fetch(at_least); });
  }
  bool is_newest(const Weights& weights) const {
    return weights && weights.elements() == kElements &&
           std::memcmp(weights.values().get(), newest.get(), kElements * sizeof(float)) == 0;
  }
  double carried(const char* carrier) {
    return run.telemetry->metrics().counter("troupe_broadcaster_bytes_total", carrier).Value();
  }
  double mismatches() {
    return run.telemetry->metrics().counter("troupe_broadcaster_checksum_mismatch_total").Value();
  }
  /// Lets actors and loop run until `done`; false after 20 s.
  bool until(const std::function<bool()>& done) {
    for (int i = 0; i < 20'000 && !done(); ++i)
      loop.timer.afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    return done();
  }

  support::QuietKj quiet;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  wire::Loop loop{*io.provider, *io.lowLevelProvider, io.provider->getTimer()};
  support::TemporaryRun run;
  caf::actor_system_config config;
  caf::actor_system system{config};
  Broadcaster published =
      system.spawn(broadcaster, BroadcasterPlan{Deadlines{}, run.telemetry.get()});
  caf::actor porter = system.spawn(
      [](caf::event_based_actor* self) -> caf::behavior { return {errand_handler(self)}; });
  std::shared_ptr<const float[]> newest;
  Meddler::Mischief mischief;
  std::optional<WeightDispatch> dispatch;
  std::optional<WeightIntake> intake;
  kj::Maybe<wire::WeightSource::Client> source;
};

constexpr double kBytes = kElements * sizeof(float);

}  // namespace

TEST_CASE("processes of one machine share a version without a copy") {
  Transfer t(CarrierUse::automatic, DeltaUse::automatic);
  t.publish(3);
  const Weights weights = t.fetch(0);
  CHECK(weights.version() == 3);
  CHECK(weights.digest() == kDigest);
  CHECK(t.is_newest(weights));
  CHECK(weights.values() != t.newest);
  CHECK(t.mischief.maps == 1);
  CHECK(t.mischief.buckets == 0);
  CHECK(t.carried("memfd") == kBytes);
  CHECK(t.carried("stream") == 0);
}

TEST_CASE("NCCL comes after memory and before the stream and first where it is asked for") {
  const auto ends = [](const char* sender, const char* receiver, bool before_memory) {
    NcclEnds both;
    both.sender.library = support::fake_nccl(support::fake_device(sender));
    both.receiver.library = support::fake_nccl(support::fake_device(receiver));
    both.sender.before_memory = before_memory;
    return both;
  };
  struct Case {
    NcclEnds ends;
    bool memory_works;
    const char* carrier;
  };
  for (const Case& one :
       {Case{ends("a", "b", false), true, "memfd"}, Case{ends("a", "b", false), false, "nccl"},
        Case{ends("a", "b", true), true, "nccl"}, Case{ends("a", "a", false), false, "stream"},
        Case{{ends("a", "b", true).sender, {}}, false, "stream"}}) {
    CAPTURE(one.carrier);
    Transfer t(CarrierUse::automatic, DeltaUse::automatic, {}, one.ends);
    t.mischief.wrong_token = !one.memory_works;
    t.publish(3);
    CHECK(t.is_newest(t.fetch(0)));
    for (const char* carrier : {"memfd", "nccl", "delta", "stream"})
      CHECK(t.carried(carrier) == (carrier == std::string(one.carrier) ? kBytes : 0));
  }
}

TEST_CASE("what a process lacks for NCCL is said once") {
  NcclTerms lacking;
  lacking.problem = "NCCL is not loaded";
  Transfer t(CarrierUse::automatic, DeltaUse::automatic, {}, {lacking, lacking});
  std::ifstream log(t.run.directory / "log.jsonl");
  int times = 0;
  for (std::string line; std::getline(log, line);)
    times += line.find("nccl: NCCL is not loaded") != std::string::npos ? 1 : 0;
  CHECK(times == 1);
}

TEST_CASE("a version that is late in coming is waited for") {
  Transfer t(CarrierUse::automatic, DeltaUse::automatic);
  t.publish(3);
  t.fetch(0);
  auto next = t.intake->fetch(KJ_ASSERT_NONNULL(t.source), 4);
  CHECK_FALSE(next.poll(t.io.waitScope));
  t.publish(4);
  CHECK(next.wait(t.io.waitScope).version() == 4);
}

TEST_CASE("memory that cannot be had is followed by the stream and not offered again") {
  Transfer t(CarrierUse::automatic, DeltaUse::never);
  t.mischief.wrong_token = true;
  t.publish(3);
  CHECK(t.is_newest(t.fetch(0)));
  CHECK(t.mischief.maps == 1);
  CHECK(t.mischief.begins == 1);
  CHECK(t.carried("memfd") == 0);
  CHECK(t.carried("stream") == kBytes);
  t.publish(4);
  CHECK(t.is_newest(t.fetch(4)));
  CHECK(t.mischief.maps == 1);
}

TEST_CASE("a process vouches for versions that it has packed or had from who made them") {
  Transfer t(CarrierUse::stream, DeltaUse::never);
  auto source = t.dispatch->source({t.porter, std::chrono::seconds(1)}, t.published, "h");
  const auto digest = [&](std::uint64_t version) {
    auto request = source.digestRequest();
    request.setVersion(version);
    return request.send();
  };
  auto early = digest(3);
  CHECK_FALSE(early.poll(t.io.waitScope));
  t.publish(3);
  const Weights fetched = t.fetch(0);
  const auto answer = early.wait(t.io.waitScope);
  CHECK(answer.getSha256() == fetched.header().getSha256());
  CHECK(answer.getDigest() == kDigest.c_str());
  CHECK(answer.getNewest() == 3);
  CHECK(digest(2).wait(t.io.waitScope).getSha256().size() == 0);  // too old, and no wait for it
  CHECK(digest(4).wait(t.io.waitScope).getSha256().size() == 0);  // it did not come
  t.publish(4);
  const Weights made =
      attested(Weights(9, kDigest, t.newest, kElements), {{"w", "float32", {kElements}, 0}});
  t.dispatch->note(made);
  CHECK(digest(9).wait(t.io.waitScope).getSha256() == made.header().getSha256());
}

TEST_CASE("with the stream alone no memory is offered") {
  Transfer t(CarrierUse::stream, DeltaUse::never);
  t.publish(3);
  CHECK(t.is_newest(t.fetch(0)));
  CHECK(t.mischief.maps == 0);
  CHECK(t.mischief.buckets == 3);
}

TEST_CASE("a small change goes as a delta and a large one as a whole") {
  Transfer t(CarrierUse::stream, DeltaUse::automatic);
  t.publish(3);
  CHECK(t.is_newest(t.fetch(0)));
  CHECK(t.mischief.changes == 0);
  t.publish(4, 100);  // the first receiver that holds a version has asked for it before that
  CHECK(t.is_newest(t.fetch(4)));
  t.publish(5, 50);
  CHECK(t.is_newest(t.fetch(5)));
  t.publish(6, 2000);
  CHECK(t.is_newest(t.fetch(6)));
  CHECK(t.mischief.changes == 3);
  CHECK(t.carried("delta") == 5 * 2150);
  t.publish(7, kElements);
  CHECK(t.is_newest(t.fetch(7)));
  CHECK(t.mischief.changes == 3);
  CHECK(t.carried("stream") == 2 * kBytes);
}

TEST_CASE("a delta is always or never sent when the config says so") {
  for (const DeltaUse use : {DeltaUse::always, DeltaUse::never}) {
    Transfer t(CarrierUse::stream, use);
    t.publish(3);
    t.fetch(0);
    t.publish(4, use == DeltaUse::always ? kElements : 1);
    CHECK(t.is_newest(t.fetch(4)));
    CHECK(t.mischief.changes == (use == DeltaUse::always ? 1 : 0));
  }
}

TEST_CASE("who missed a version gets the newest as a whole") {
  Transfer t(CarrierUse::stream, DeltaUse::automatic);
  t.publish(3);
  t.fetch(0);
  t.publish(4, 10);
  CHECK(t.is_newest(t.fetch(4)));
  t.intake->forget();
  t.publish(5, 10);
  CHECK(t.is_newest(t.fetch(5)));
  CHECK(t.mischief.changes == 1);
}

TEST_CASE("a damaged bucket is refused and counted and the version fetched again") {
  Transfer t(CarrierUse::stream, DeltaUse::automatic);
  t.mischief.flip_bucket = true;
  t.publish(3);
  CHECK(t.refusal(0).find("digest_mismatch") != std::string::npos);
  CHECK(t.mismatches() == 1);
  t.mischief.flip_bucket = false;
  CHECK(t.is_newest(t.fetch(0)));
  CHECK(t.mismatches() == 1);
}

TEST_CASE("a wrong digest of the whole is refused and counted and the plain stream comes next") {
  Transfer t(CarrierUse::automatic, DeltaUse::automatic);
  t.mischief.flip_header = true;
  t.publish(3);
  CHECK(t.refusal(0).find("digest_mismatch") != std::string::npos);
  CHECK(t.mismatches() == 1);
  CHECK(t.mischief.maps == 1);
  t.mischief.flip_header = false;
  CHECK(t.is_newest(t.fetch(0)));
  CHECK(t.mischief.maps == 1);
  CHECK(t.mischief.buckets == 3);
  t.publish(4);
  CHECK(t.is_newest(t.fetch(4)));
  CHECK(t.mischief.maps == 2);  // what was refused once is tried again with the next version
}

TEST_CASE("weights of another model are refused and the first difference is named") {
  Transfer t(CarrierUse::automatic, DeltaUse::automatic,
             WeightManifest{{"w", "float32", {kElements - 1}, 0}});
  t.publish(3);
  CHECK(t.refusal(0).find("w float32 [700000] at byte 0 here and w float32 [700001]") !=
        std::string::npos);
  CHECK(t.mismatches() == 0);
}

TEST_CASE("a version that nobody can need is dropped everywhere") {
  for (const CarrierUse carrier : {CarrierUse::automatic, CarrierUse::stream}) {
    Transfer t(carrier, DeltaUse::automatic);
    t.publish(3);
    Weights held = t.fetch(0);
    const std::weak_ptr<const float[]> published = t.newest, received = held.values();
    t.publish(4, 10);
    held = t.fetch(4);
    CHECK(t.until([&] { return published.expired(); }));
    CHECK(t.until([&] { return received.expired(); }));
  }
}

TEST_CASE("what was packed is dropped when the last receiver goes") {
  Transfer t(CarrierUse::stream, DeltaUse::automatic);
  t.publish(3);
  t.fetch(0);
  const std::weak_ptr<const float[]> packed = t.newest;
  t.publish(4);
  CHECK(t.until([&] { return packed.use_count() == 1; }));  // the packer's
  t.source = nullptr;
  CHECK(t.until([&] { return packed.expired(); }));
}

TEST_CASE("what packs a broadcaster's versions ends with it while its sources live on") {
  auto t = std::make_unique<Transfer>(CarrierUse::stream, DeltaUse::automatic);
  t->publish(3);
  t->fetch(0);
  const std::weak_ptr<const float[]> packed = t->newest;
  t->newest = nullptr;
  caf::anon_send_exit(t->published, caf::exit_reason::user_shutdown);
  CHECK(t->until([&] { return packed.expired(); }));
  CHECK_FALSE(t->refusal(4).empty());
}

}  // namespace troupe
