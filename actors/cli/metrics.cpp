// Every metric that a process of Troupe may expose, for whoever writes queries.
#include "actors/telemetry/metrics.hpp"

#include "actors/cli/commands.hpp"

#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>

namespace troupe {
namespace {

const char* to_text(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter:
      return "counter";
    case MetricKind::gauge:
      return "gauge";
    case MetricKind::histogram:
      break;
  }
  return "histogram";
}

nlohmann::ordered_json to_json(const MetricDefinition& metric) {
  auto labels = nlohmann::ordered_json::array();
  if (!metric.label.empty()) labels.push_back(metric.label);
  return {{"name", metric.name}, {"kind", to_text(metric.kind)}, {"unit", metric.unit},
          {"labels", labels},    {"roles", metric.roles},        {"help", metric.help}};
}

}  // namespace

int list_metrics(bool json) {
  if (json) {
    auto list = nlohmann::ordered_json::array();
    for (const MetricDefinition& metric : metric_list()) list.push_back(to_json(metric));
    std::cout << list.dump(2) << "\n";
    return exit_ok;
  }
  for (const MetricDefinition& metric : metric_list())
    std::cout << fmt::format("{:<58} {:<9} {:<20} {}\n",
                             metric.name + (metric.label.empty() ? "" : "{" + metric.label + "}"),
                             to_text(metric.kind), metric.unit, metric.help);
  return exit_ok;
}

}  // namespace troupe
