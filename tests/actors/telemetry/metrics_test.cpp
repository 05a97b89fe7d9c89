#include "actors/telemetry/metrics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <set>
#include <sys/wait.h>

TEST_SUITE_BEGIN("actors/telemetry");

namespace troupe {

namespace {

void touch_all(Metrics& metrics) {
  for (const auto& metric : metric_list()) {
    const std::string label = metric.label.empty() ? "" : "a \"hostile\" value\n\\";
    if (metric.kind == MetricKind::counter) metrics.counter(metric.name, label).Increment();
    if (metric.kind == MetricKind::gauge) metrics.gauge(metric.name, label).Set(1);
    if (metric.kind == MetricKind::histogram) metrics.histogram(metric.name, label).Observe(1);
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every metric has a name of its own and a help text and is exposed") {
  Metrics metrics;
  touch_all(metrics);
  const std::string page = metrics.expose();
  std::set<std::string> names;
  for (const auto& metric : metric_list()) {
    CAPTURE(metric.name);
    CHECK(names.insert(metric.name).second);
    CHECK(metric.name.rfind("troupe_", 0) == 0);
    CHECK(contains(page, "# HELP " + metric.name + " " + metric.help + "\n"));
    CHECK(contains(page, "# TYPE " + metric.name + " "));
  }
}

TEST_CASE("metrics without a label or with known values are exposed as 0 before their first use") {
  const std::string page = Metrics().expose();
  CHECK(contains(page, "\ntroupe_learner_updates_total 0\n"));
  CHECK(contains(page, "\ntroupe_verifier_verdicts_total{outcome=\"pass\"} 0\n"));
  CHECK(contains(page, "\ntroupe_ledger_rollouts{state=\"in_flight\"} 0\n"));
  CHECK_FALSE(contains(page, "troupe_actor_idle_ratio{"));
}

TEST_CASE("a process exposes beforehand what its roles set and nothing else") {
  Metrics metrics({"generator"});
  CHECK(contains(metrics.expose(), "\ntroupe_generator_generated_tokens_total 0\n"));
  CHECK(contains(metrics.expose(), "\ntroupe_broadcaster_checksum_mismatch_total 0\n"));
  CHECK_FALSE(contains(metrics.expose(), "troupe_learner_updates_total"));
  metrics.counter("troupe_learner_updates_total")
      .Increment();  // a list that is wrong hides nothing
  CHECK(contains(metrics.expose(), "\ntroupe_learner_updates_total 1\n"));
}

TEST_CASE("every metric has a unit and roles that there are") {
  for (const auto& metric : metric_list()) {
    CAPTURE(metric.name);
    CHECK_FALSE(metric.unit.empty());
    CHECK_FALSE(metric.roles.empty());
    for (const std::string& role : metric.roles)
      CHECK(std::find(kRoles.begin(), kRoles.end(), role) != kRoles.end());
  }
}

TEST_CASE("one name and label give one series") {
  Metrics metrics;
  metrics.counter("troupe_actor_restarts_total", "generator-0").Increment();
  metrics.counter("troupe_actor_restarts_total", "generator-0").Increment();
  metrics.counter("troupe_actor_restarts_total", "generator-1").Increment();
  const std::string page = metrics.expose();
  CHECK(contains(page, "troupe_actor_restarts_total{actor=\"generator-0\"} 2\n"));
  CHECK(contains(page, "troupe_actor_restarts_total{actor=\"generator-1\"} 1\n"));
}

TEST_CASE("a metric that is not in the list or is used wrongly is a logic error") {
  Metrics metrics;
  CHECK_THROWS_WITH_AS(metrics.counter("troupe_no_such_total"),
                       "metric troupe_no_such_total is not in the list of metric_list.cpp",
                       std::logic_error);
  CHECK_THROWS_AS(metrics.gauge("troupe_learner_updates_total"), std::logic_error);
  CHECK_THROWS_AS(metrics.counter("troupe_learner_updates_total", "x"), std::logic_error);
  CHECK_THROWS_AS(metrics.counter("troupe_verifier_verdicts_total"), std::logic_error);
}

TEST_CASE("promtool accepts every metric" *
          doctest::skip(std::system("command -v promtool >/dev/null 2>&1") != 0)) {
  Metrics metrics;
  touch_all(metrics);
  FILE* promtool = popen("promtool check metrics", "w");
  REQUIRE(promtool);
  std::fputs(metrics.expose().c_str(), promtool);
  const int status = pclose(promtool);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace troupe
