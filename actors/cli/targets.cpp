#include "actors/cli/targets.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace troupe {
namespace {

namespace fs = std::filesystem;

/// Whoever watches `file` sees the text before or this one, never a part.
void replace(const fs::path& file, const std::string& text) {
  const fs::path fresh = file.string() + ".tmp";
  std::ofstream(fresh) << text;
  fs::rename(fresh, file);
}

}  // namespace

Targets::Targets(const fs::path& run_directory) : directory_(run_directory) {}

fs::path Targets::address_file(const std::string& name) const {
  return directory_ / "processes" / (name + ".metrics");
}

fs::path Targets::expect(const std::string& name, const std::string& role) {
  remove(name);
  targets_[name] = {role, {}};
  return address_file(name);
}

void Targets::remove(const std::string& name) {
  fs::remove(address_file(name));
  const auto found = targets_.find(name);
  if (found == targets_.end()) return;
  changed_ = changed_ || !found->second.address.empty();
  targets_.erase(found);
}

void Targets::clear() {
  targets_.clear();
  write();
}

void Targets::update() {
  for (auto& [name, target] : targets_) {
    if (!target.address.empty()) continue;
    std::ifstream(address_file(name)) >> target.address;
    changed_ = changed_ || !target.address.empty();
  }
  if (std::exchange(changed_, false)) write();
}

void Targets::write() const {
  auto list = nlohmann::ordered_json::array();
  for (const auto& [name, target] : targets_)
    if (!target.address.empty())
      list.push_back(
          {{"targets", {target.address}},
           {"labels",
            {{"role", target.role}, {"instance", name}, {"run", directory_.filename().string()}}}});
  replace(directory_ / "targets.json", list.dump(2) + "\n");
}

void serve_metrics_for(const fs::path& file, TelemetryOptions& options) {
  if (!file.empty()) options.metrics_port = options.metrics_port.value_or(0);
}

void tell_metrics_address(const fs::path& file, const Telemetry& telemetry) {
  if (file.empty()) return;
  const std::string& bound = telemetry.metrics_address();
  const bool everywhere = bound == "0.0.0.0" || bound == "::";
  const bool ipv6 = bound.find(':') != std::string::npos;
  const std::string host = everywhere ? (ipv6 ? "::1" : "127.0.0.1") : bound;
  replace(file,
          (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(telemetry.metrics_port()) + "\n");
}

}  // namespace troupe
