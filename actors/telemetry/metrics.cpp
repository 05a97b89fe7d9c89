#include "actors/telemetry/metrics.hpp"

#include <algorithm>
#include <map>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <stdexcept>

namespace troupe {

namespace {

prometheus::Labels labels_of(const MetricDefinition& metric, const std::string& label) {
  if (metric.label.empty()) return {};
  return {{metric.label, label}};
}

}  // namespace

struct Metrics::State {
  struct Entry {
    const MetricDefinition* definition;
    prometheus::Family<prometheus::Counter>* counters = nullptr;
    prometheus::Family<prometheus::Gauge>* gauges = nullptr;
    prometheus::Family<prometheus::Histogram>* histograms = nullptr;
  };

  prometheus::Registry registry;
  std::map<std::string, Entry, std::less<>> entries;  // never changes after construction

  void add(const MetricDefinition& metric) {
    Entry entry{&metric};
    const auto build = [&](auto builder) {
      return &builder.Name(metric.name).Help(metric.help).Register(registry);
    };
    if (metric.kind == MetricKind::counter) entry.counters = build(prometheus::BuildCounter());
    if (metric.kind == MetricKind::gauge) entry.gauges = build(prometheus::BuildGauge());
    if (metric.kind == MetricKind::histogram)
      entry.histograms = build(prometheus::BuildHistogram());
    entries.emplace(metric.name, entry);
  }

  const Entry& find(const std::string& name, MetricKind kind, const std::string& label) const {
    const auto found = entries.find(name);
    if (found == entries.end())
      throw std::logic_error("metric " + name + " is not in the list of metric_list.cpp");
    const MetricDefinition& metric = *found->second.definition;
    if (metric.kind != kind) throw std::logic_error("metric " + name + " is of another type");
    if (metric.label.empty() && !label.empty())
      throw std::logic_error("metric " + name + " has no label, but got \"" + label + "\"");
    if (!metric.label.empty() && label.empty())
      throw std::logic_error("metric " + name + " needs a value for its label " + metric.label);
    return found->second;
  }
};

Metrics::Metrics(const std::vector<std::string>& roles) : state_(std::make_unique<State>()) {
  for (const MetricDefinition& metric : metric_list()) {
    state_->add(metric);
    const bool played = std::any_of(roles.begin(), roles.end(), [&](const std::string& role) {
      return std::find(metric.roles.begin(), metric.roles.end(), role) != metric.roles.end();
    });
    if (!played) continue;
    const auto values = metric.label.empty() ? std::vector<std::string>{""} : metric.values;
    for (const std::string& value : values) {
      if (metric.kind == MetricKind::counter) counter(metric.name, value);
      if (metric.kind == MetricKind::gauge) gauge(metric.name, value);
      if (metric.kind == MetricKind::histogram) histogram(metric.name, value);
    }
  }
}

Metrics::~Metrics() = default;

prometheus::Counter& Metrics::counter(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::counter, label);
  return entry.counters->Add(labels_of(*entry.definition, label));
}

prometheus::Gauge& Metrics::gauge(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::gauge, label);
  return entry.gauges->Add(labels_of(*entry.definition, label));
}

prometheus::Histogram& Metrics::histogram(const std::string& name, const std::string& label) {
  const auto& entry = state_->find(name, MetricKind::histogram, label);
  return entry.histograms->Add(labels_of(*entry.definition, label), entry.definition->buckets);
}

void Metrics::end_series(const std::string& name, const std::string& label) {
  const auto found = state_->entries.find(name);
  if (found == state_->entries.end() || found->second.histograms != nullptr)
    throw std::logic_error("metric " + name + " has no series that could end");
  const auto labels = labels_of(*found->second.definition, label);
  const auto end = [&](auto* family) {
    if (family != nullptr && family->Has(labels)) family->Remove(&family->Add(labels));
  };
  end(found->second.counters);
  end(found->second.gauges);
}

std::string Metrics::expose() const {
  return prometheus::TextSerializer{}.Serialize(state_->registry.Collect());
}

prometheus::Registry& Metrics::registry() {
  return state_->registry;
}

}  // namespace troupe
