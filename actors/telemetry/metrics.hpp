#pragma once
// Every metric of Troupe: name, unit, help, label, roles, in metric_list.cpp. prometheus-cpp types
// are kept out of this header.
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace troupe {

enum class MetricKind { counter, gauge, histogram };

/// One line of the list. `values` are label values known beforehand: exposed as 0 before first use.
struct MetricDefinition {
  std::string name;
  MetricKind kind;
  std::string unit;  // of its value, or of what it counts
  std::string help;
  std::string label{};            // name of its one label; "" for none
  std::vector<double> buckets{};  // upper bounds; histograms only
  std::vector<std::string> values{};
  std::vector<std::string> roles{};  // that set it; a process has the metrics of all its roles
};

inline const std::vector<std::string> kRoles = {"director",    "replay-buffer", "learner",
                                                "broadcaster", "generator",     "verifier"};

/// The whole list. Metrics marked "from records" there are set by Telemetry::record():
/// an actor that reports such a record leaves them alone, or they would count twice.
const std::vector<MetricDefinition>& metric_list();

/// References are looked up once (when an actor starts) and used for ever; increments are safe from
/// any thread.
class Metrics {
 public:
  /// roles: whose metrics are exposed before their first use; others are from then on.
  explicit Metrics(const std::vector<std::string>& roles = kRoles);
  ~Metrics();
  /// label: value of the metric's one label, "" if it has none. Errors: throws std::logic_error on
  /// a name or label use that is not in the list.
  prometheus::Counter& counter(const std::string& name, const std::string& label = "");
  prometheus::Gauge& gauge(const std::string& name, const std::string& label = "");
  prometheus::Histogram& histogram(const std::string& name, const std::string& label = "");
  /// Nothing is shown of this label value any more, until it is used again. Only for a counter or gauge that is looked up
  /// whenever it is set, by one thread or under one lock: references to it end. Errors: as above.
  void end_series(const std::string& name, const std::string& label);
  std::string expose() const;  // Prometheus text format
  prometheus::Registry& registry();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace troupe
