#include "actors/telemetry/history.hpp"

#include "tests/actors/telemetry/sample_run.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

HistoryPoint point(std::int32_t update, double value, std::int32_t stage = 0) {
  HistoryPoint one{stage, update, 1, 10.0 * update,
                   std::vector<double>(history_columns().size(), value)};
  one.values.back() = 0;
  return one;
}
HistoryPoint refused_point(std::int32_t update) {
  HistoryPoint one = point(update, 0);
  one.values.back() = 1;
  return one;
}

}  // namespace

TEST_CASE("a history never holds more points than it may and stands for every update") {
  History history(8);
  for (std::int32_t i = 1; i <= 1000; ++i) {
    history.add(point(i, i));
    CHECK(history.points().size() <= 8);
  }
  CHECK(history.added() == 1000);
  std::int32_t updates = 0;
  double sum = 0;
  for (const HistoryPoint& p : history.points()) {
    updates += p.updates;
    sum += p.values[0] * p.updates;
  }
  CHECK(updates == 1000);
  CHECK(sum == doctest::Approx(1000 * 1001 / 2));
  CHECK(history.points().front().update == 1);
  CHECK(history.points().front().updates == 1);
  CHECK(history.points().back().update == 1000);
}

TEST_CASE("a long curve is as fine at its beginning as at its end") {
  History history(64);
  for (std::int32_t i = 1; i <= 100'000; ++i) history.add(point(i, i));
  const auto& points = history.points();
  CHECK(points.size() >= 32);
  for (std::size_t i = 2; i + 1 < points.size(); ++i) CHECK(points[i].updates == points[1].updates);
}

TEST_CASE("merged points are means by the number of updates and keep the newest one's place") {
  History history(4);
  for (const double value : {1.0, 3.0, 10.0, 20.0, 30.0})
    history.add(point(static_cast<std::int32_t>(history.added()) + 1, value));
  CHECK(history.points().front().values[0] == 1);
  const HistoryPoint& oldest = history.points()[1];
  CHECK(oldest.update == 3);
  CHECK(oldest.updates == 2);
  CHECK(oldest.seconds == doctest::Approx(30));
  CHECK(oldest.values[0] == doctest::Approx(6.5));
  CHECK(history.points().size() == 3);
  CHECK(history.points().back().update == 5);
  CHECK(history.points().back().values[0] == doctest::Approx(25));
}

TEST_CASE("points of two stages are never mixed") {
  History history(4);
  history.add(point(1, 1, 0));
  for (std::int32_t i = 1; i <= 4; ++i) history.add(point(i, 100, 1));
  for (const HistoryPoint& p : history.points()) CHECK(p.values[0] == (p.stage == 0 ? 1 : 100));
}

TEST_CASE("a short stage keeps its curve through a long one") {
  History history(128);
  for (std::int32_t i = 1; i <= 10; ++i) history.add(point(i, 1, 0));
  for (std::int32_t i = 1; i <= 10000; ++i) history.add(point(i, 1, 1));
  std::size_t early = 0;
  for (const HistoryPoint& p : history.points()) early += p.stage == 0 ? 1 : 0;
  CHECK(early == 10);
  CHECK(history.points().size() <= 128);
}

TEST_CASE("more stages than points lose the oldest") {
  History history(8);
  for (std::int32_t stage = 0; stage < 20; ++stage) history.add(point(1, 1, stage));
  CHECK(history.points().size() == 8);
  CHECK(history.points().front().stage == 12);
}

TEST_CASE("a point has a value for every column") {
  const HistoryPoint p = history_point(sample_update(3));
  CHECK(p.values.size() == history_columns().size());
  CHECK(p.values[0] == doctest::Approx(0.912));
  CHECK(history_columns()[14] == "lag_mean");
  CHECK(p.values[14] == doctest::Approx(1.2));
}

TEST_CASE("a report of a pretrain stage has a loss and no reward") {
  History history(4);
  history.add(history_point(sample_run().stages[0].supervised_updates.front()));
  history.add(history_point(sample_run().stages[0].supervised_updates.back()));
  const auto json = history_json(history);
  const auto value = [&](std::size_t point, const std::string& column) {
    for (std::size_t i = 0; i < json["columns"].size(); ++i)
      if (json["columns"][i] == column)
        return nlohmann::json::parse(json["points"][point].dump())[i + 4];
    return nlohmann::json();
  };
  CHECK(value(0, "loss") == 1.5);
  CHECK(value(1, "learning_rate") == 5e-4);
  CHECK(value(1, "positions_per_second") == 48000);
  CHECK(value(0, "reward_mean").is_null());
  CHECK(value(0, "gate_share").is_null());
  CHECK(value(1, "gate_share") == 0.9375);
  CHECK(history_csv(history).find("\n0,100,100") == std::string::npos);
  CHECK(history_csv(history).find("\n0,100,1,10,,,") != std::string::npos);
}

TEST_CASE("what is known of one of two merged points stays known") {
  History history(4);
  for (std::int32_t i = 1; i <= 5; ++i) {
    HistoryPoint p = point(i, i);
    if (i == 2) p.values[0] = std::nan("");
    history.add(p);
  }
  CHECK(history.points()[1].values[0] == 3);
  CHECK(history.points()[1].values[1] == doctest::Approx(2.5));
}

TEST_CASE("a refused update keeps a point of its own however long the run") {
  const std::set<std::int32_t> refused = {2, 777, 778, 90'000};
  History history(64);
  for (std::int32_t i = 1; i <= 100'000; ++i) {
    history.add(refused.contains(i) ? refused_point(i) : point(i, i));
    REQUIRE(history.points().size() <= 64);
  }
  std::set<std::int32_t> shown;
  std::int32_t updates = 0;
  for (const HistoryPoint& one : history.points()) {
    updates += one.updates;
    if (!one.refused()) continue;
    shown.insert(one.update);
    CHECK(one.updates == 1);
  }
  CHECK(shown == refused);
  CHECK(updates == 100'000);
  CHECK(history_point(sample_update(3)).refused() == false);
  RolloutUpdateRecord bad = sample_update(3);
  bad.refused = true;
  CHECK(history_point(bad).refused());
  CHECK(history_columns().back() == "refused");
}

TEST_CASE("a run that refuses every update is bounded and none is forgotten") {
  for (const std::int32_t every : {1, 2, 3}) {
    CAPTURE(every);
    History history(32);
    for (std::int32_t i = 1; i <= 10'000; ++i) {
      history.add(i % every == 0 ? refused_point(i) : point(i, i));
      REQUIRE(history.points().size() <= 32);
    }
    double refused = 0;
    for (const HistoryPoint& one : history.points()) refused += one.values.back() * one.updates;
    CHECK(refused == doctest::Approx(10'000 / every));
  }
}

TEST_CASE("rows of json and csv name their columns") {
  History history(4);
  history.add(history_point(sample_update(3)));
  const auto json = history_json(history);
  CHECK(json["points"][0].size() == json["columns"].size() + 4);
  CHECK(json["points"][0][1] == 3);
  const std::string csv = history_csv(history);
  CHECK(csv.rfind("stage,update,updates,seconds,reward_mean,", 0) == 0);
  CHECK(csv.find("\n1,3,1,20.75,0.912,") != std::string::npos);
}

TEST_CASE("a history of too few points is refused") {
  CHECK_THROWS_AS(History(2), std::invalid_argument);
}

}  // namespace troupe

TEST_SUITE_END();
