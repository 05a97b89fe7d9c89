#include "actors/link/news.hpp"

#include "actors/link/director_stand_in.hpp"
#include "actors/link/news_codec.hpp"
#include "tests/support/actor_fixture.hpp"

#include <doctest/doctest.h>

#include <caf/send.hpp>
#include <capnp/message.h>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

TEST_SUITE_BEGIN("actors/link");

namespace troupe {
namespace {

News there_and_back(const News& news) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::News>();
  write(news, root);
  return read_news(root.asReader());
}
template <class Body>
Body travelled(const Body& body) {
  const News came = there_and_back({7, 1.5, body});
  CHECK(came.number == 7);
  CHECK(came.seconds == 1.5);
  REQUIRE(std::holds_alternative<Body>(came.body));
  return std::get<Body>(came.body);
}

LedgerRecord some_ledger() {
  LedgerRecord ledger;
  ledger.open_rollouts = 1;
  ledger.generated_rollouts = 2;
  ledger.trained_rollouts = 3;
  ledger.buffered_rollouts = 4;
  ledger.in_flight_rollouts = 5;
  ledger.generated_tokens = 6;
  ledger.trained_tokens = 7;
  ledger.buffered_tokens = 8;
  ledger.in_flight_tokens = 9;
  ledger.dropped_rollouts = {{"stale", 10}, {"stage_over", 1}};
  ledger.dropped_tokens = {{"stale", 11}, {"late", 3}};
  ledger.dropped_lengths = {{"stale", {{16, 9}, {32, 1}}}};
  ledger.trained_lengths = {{64, 3}};
  ledger.tickets_granted = 12;
  ledger.tickets_reissued = 13;
  ledger.duplicate_rollouts = 14;
  ledger.handed_over_rollouts = 15;
  ledger.handed_over_tokens = 16;
  ledger.max_lag = 17;
  ledger.tokens_beyond_bound = 18;
  ledger.imbalance_rollouts = -19;
  ledger.imbalance_tokens = 20;
  return ledger;
}

void check_same(const LedgerRecord& a, const LedgerRecord& b) {
  CHECK(a.open_rollouts == b.open_rollouts);
  CHECK(a.generated_rollouts == b.generated_rollouts);
  CHECK(a.trained_rollouts == b.trained_rollouts);
  CHECK(a.buffered_rollouts == b.buffered_rollouts);
  CHECK(a.in_flight_rollouts == b.in_flight_rollouts);
  CHECK(a.generated_tokens == b.generated_tokens);
  CHECK(a.trained_tokens == b.trained_tokens);
  CHECK(a.buffered_tokens == b.buffered_tokens);
  CHECK(a.in_flight_tokens == b.in_flight_tokens);
  CHECK(a.dropped_rollouts == b.dropped_rollouts);
  CHECK(a.dropped_tokens == b.dropped_tokens);
  CHECK(a.dropped_lengths == b.dropped_lengths);
  CHECK(a.trained_lengths == b.trained_lengths);
  CHECK(a.tickets_granted == b.tickets_granted);
  CHECK(a.tickets_reissued == b.tickets_reissued);
  CHECK(a.duplicate_rollouts == b.duplicate_rollouts);
  CHECK(a.handed_over_rollouts == b.handed_over_rollouts);
  CHECK(a.handed_over_tokens == b.handed_over_tokens);
  CHECK(a.max_lag == b.max_lag);
  CHECK(a.tokens_beyond_bound == b.tokens_beyond_bound);
  CHECK(a.imbalance_rollouts == b.imbalance_rollouts);
  CHECK(a.imbalance_tokens == b.imbalance_tokens);
}

constexpr std::size_t kMany = 100;

EvaluationNote note_at(std::uint32_t stage, EvaluationNote::Place place, std::int32_t update) {
  EvaluationNote note;
  note.stage = stage;
  note.place = place;
  note.record = {9, update, 8, 0.5, 0.25, 0.75, 12.5, 3.5, 0.125};
  note.samples = {{"1+1=", "<answer>2</answer>", "2", "pass", 1}};
  return note;
}

}  // namespace

TEST_CASE("news are read by number and in order") {
  NewsLog log(kMany);
  log.add(StageBegun{0}, 0);
  log.add(Published{1, 1}, 1);
  log.add(Published{2, 2}, 2);
  CHECK(log.end() == 3);
  const auto some = log.from(1, 1);
  REQUIRE(some.size() == 1);
  CHECK(some[0].number == 1);
  CHECK(log.from(0, 9).size() == 3);
  CHECK(log.from(3, 9).empty());
}

TEST_CASE(
    "records that were told are forgotten when there are many and what a run is made of is not") {
  constexpr std::size_t kKept = 10;
  NewsLog log(kKept);
  log.add(StageBegun{0}, 0);
  log.add(note_at(0, EvaluationNote::Place::before, 0), 0);
  for (int update = 1; update <= 1000; ++update) log.add(Published{update, 1}, update);
  CHECK(log.all().size() == 1002);  // nobody was told
  log.told(log.end() - 3);
  for (int update = 1; update <= 1000; ++update) {
    log.add(Published{update, 2}, update);
    log.told(log.end());
    log.told(0);  // a director that comes anew
  }
  CHECK(log.all().size() < 4 * kKept);
  CHECK(log.end() == 2002);
  const auto first = log.from(0, 3);
  CHECK(std::holds_alternative<StageBegun>(first[0].body));
  CHECK(std::holds_alternative<EvaluationNote>(first[1].body));
  CHECK(std::get<Published>(first[2].body).update ==
        1000 - static_cast<int>(2001 - first[2].number));
  CHECK(log.from(2002 - kKept, kMany).size() == kKept);
  CHECK(log.from(500, 1)[0].number == first[2].number);
}

TEST_CASE("what was not told is kept however much it is") {
  NewsLog log(10);
  for (int update = 0; update < 1000; ++update) {
    log.add(Published{update, 1}, update);
    if (update == 500) log.told(log.end());
  }
  CHECK(log.from(501, kMany)[0].number == 501);
  CHECK(log.all().size() < 499 + 20);
}

TEST_CASE_FIXTURE(support::ActorFixture,
                  "a director that comes anew hears the newest of many news") {
  DirectorStandInPlan plan;
  plan.stages = {{"rl", "rl", 1}};
  plan.telemetry = telemetry();
  const caf::actor stand_in = keep(system.spawn(director_stand_in, plan));
  REQUIRE(*ask<bool>(stand_in, begin_atom::value, std::uint32_t{0}));
  const auto happens = [&](std::size_t times) {
    for (std::size_t i = 0; i < times; ++i)
      caf::anon_send(stand_in, news_atom::value, NewsBody(Published{1, i}));
    settle();
  };
  const auto page = [&](std::uint64_t from) {
    return *ask<NewsPage>(stand_in, news_atom::value, from, false);
  };
  happens(2 * kNewsKept);
  CHECK(page(0).news.at(1).number == 1);
  CHECK(page(2 * kNewsKept).news.size() == 1);  // what is before was told
  happens(2 * kNewsKept);
  const NewsPage anew = page(0);
  CHECK(anew.end == 4 * kNewsKept + 1);
  CHECK(std::holds_alternative<StageBegun>(anew.news.at(0).body));
  CHECK(anew.news.at(1).number >= 2 * kNewsKept);  // all that was not told is there
  CHECK(anew.news.at(1).number <= 3 * kNewsKept);
}

TEST_CASE("newer figures of the ledger replace those just before and are news again") {
  NewsLog log(kMany);
  LedgerRecord ledger;
  log.add(ledger, 0);
  ledger.trained_rollouts = 4;
  log.add(ledger, 1);
  log.add(Published{1, 1}, 2);
  log.add(ledger, 3);
  REQUIRE(log.all().size() == 3);
  CHECK(log.all()[0].number == 1);
  CHECK(std::get<LedgerRecord>(log.all()[0].body).trained_rollouts == 4);
  CHECK(log.from(1, 9).size() == 3);  // who had read the older has the newer to read
}

TEST_CASE("the ledger travels whole") {
  check_same(travelled(some_ledger()), some_ledger());
}

TEST_CASE("the end of a stage travels whole but for its weights") {
  StageEnded ended;
  ended.has_weights = true;
  ended.version = 42;
  ended.end.stage = 3;
  ended.end.failure = "no";
  StageRecord& record = ended.end.record;
  record.kind = "rl";
  record.name = "reason";
  record.wall_seconds = 2.5;
  record.updates = 5;
  record.refused_updates = 1;
  record.ledger = some_ledger();
  record.log_prob_gap_mean = 0.125;
  record.log_prob_gap_max = 0.25;
  record.actors = {{"gen-0", {1, 2}}, {"learner", {3, 4}}};
  record.generator_tokens_per_second = 100;
  record.learner_tokens_per_second = 200;
  record.loss = 0.5;
  record.gate_share = 0.75;
  const StageEnded came = travelled(ended);
  CHECK(came.has_weights);
  CHECK(came.version == 42);
  CHECK(came.end.stage == 3);
  CHECK(came.end.failure == "no");
  CHECK(came.end.record.kind == "rl");
  CHECK(came.end.record.name == "reason");
  CHECK(came.end.record.wall_seconds == 2.5);
  CHECK(came.end.record.updates == 5);
  CHECK(came.end.record.refused_updates == 1);
  check_same(came.end.record.ledger, some_ledger());
  CHECK(came.end.record.log_prob_gap_mean == 0.125);
  CHECK(came.end.record.log_prob_gap_max == 0.25);
  REQUIRE(came.end.record.actors.size() == 2);
  CHECK(came.end.record.actors.at("learner").idle_seconds == 4);
  CHECK(came.end.record.generator_tokens_per_second == 100);
  CHECK(came.end.record.learner_tokens_per_second == 200);
  CHECK(came.end.record.loss == 0.5);
  CHECK(came.end.record.gate_share == 0.75);
}

TEST_CASE("an evaluation travels whole with its samples") {
  const EvaluationNote came = travelled(note_at(1, EvaluationNote::Place::during, 4));
  CHECK(came.same_as(note_at(1, EvaluationNote::Place::during, 4)));
  CHECK_FALSE(came.same_as(note_at(1, EvaluationNote::Place::during, 5)));
  CHECK_FALSE(came.same_as(note_at(1, EvaluationNote::Place::after, 4)));
  CHECK(came.record.version == 9);
  CHECK(came.record.prompts == 8);
  CHECK(came.record.pass_rate_sampled == 0.5);
  CHECK(came.record.pass_rate_greedy == 0.25);
  CHECK(came.record.format_rate == 0.75);
  CHECK(came.record.mean_response_tokens == 12.5);
  CHECK(came.record.seconds == 3.5);
  CHECK(came.record.reward_mean == 0.125);
  REQUIRE(came.samples.size() == 1);
  CHECK(came.samples[0].response == "<answer>2</answer>");
  CHECK(came.samples[0].reward == 1);
}

TEST_CASE("records of updates travel with the time they were made at") {
  RolloutUpdateRecord update;
  update.update = 3;
  update.version = 2;
  CHECK(travelled(update).seconds_since_start == 1.5);
  CHECK(travelled(update).update == 3);
  SupervisedRecord supervised;
  supervised.update = 4;
  CHECK(travelled(supervised).seconds_since_start == 1.5);
  CHECK(travelled(supervised).update == 4);
  CHECK(travelled(Published{5, 6}).version == 6);
  CHECK(travelled(StageBegun{2}).stage == 2);
  CHECK(travelled(ConductorOver{"done"}).why == "done");
  const auto event = travelled(EventRecord{9, "joined", "replay-buffer: gen-0"});
  CHECK(event.seconds_since_start == 1.5);  // of the news
  CHECK(event.kind == "joined");
  CHECK(event.text == "replay-buffer: gen-0");
}

TEST_CASE("news with a figure that is not finite are refused") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS(there_and_back({0, none, StageBegun{0}}));
  StageEnded ended;
  ended.end.record.loss = none;
  CHECK_THROWS(there_and_back({0, 0, ended}));
  EvaluationNote note;
  note.record.format_rate = none;
  CHECK_THROWS(there_and_back({0, 0, note}));
}

TEST_CASE("the past of a run tells which stages have begun and what was measured") {
  Past past;
  CHECK_FALSE(past.has_begun(0));
  CHECK_FALSE(past.has_begun_after(0));
  past.begun = {0, 2};
  CHECK(past.has_begun(2));
  CHECK_FALSE(past.has_begun(1));
  CHECK(past.has_begun_after(1));
  CHECK_FALSE(past.has_begun_after(2));
  past.evaluations = {note_at(2, EvaluationNote::Place::before, 0)};
  CHECK(past.find(2, EvaluationNote::Place::before) != nullptr);
  CHECK(past.find(2, EvaluationNote::Place::after) == nullptr);
  CHECK(past.find(0, EvaluationNote::Place::before) == nullptr);
  CHECK(past.measured_update(2) == 0);
  past.evaluations.push_back(note_at(2, EvaluationNote::Place::during, 8));
  past.evaluations.push_back(note_at(2, EvaluationNote::Place::during, 4));
  CHECK(past.measured_update(2) == 8);
  CHECK(past.measured_update(1) == 0);
}

}  // namespace troupe
