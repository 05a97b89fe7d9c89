#include "actors/telemetry/telemetry_state.hpp"
#include "actors/telemetry/text.hpp"

#include <algorithm>

namespace troupe {

bool Telemetry::State::plays(const std::string& role) const {
  return std::find(options.roles.begin(), options.roles.end(), role) != options.roles.end();
}

/// Of every actor that says what it is at, in this process.
std::vector<Vitals> Telemetry::State::vitals() const {
  const std::lock_guard lock(mutex);
  const std::lock_guard actors_lock(actors_mutex);
  std::map<std::string, Vitals> found;
  const auto at_work = [&](const std::string& actor, Clock::time_point since) {
    const auto moved = progress.find(actor);
    if (moved != progress.end()) since = std::max(since, moved->second);
    double& seconds = found[actor].seconds_at_work;
    seconds = std::max(seconds, std::chrono::duration<double>(Clock::now() - since).count());
  };
  for (const auto& [actor, one] : actors) {
    const auto span = one.log->current();
    if (!span) continue;
    found[actor].doing = span->phase;
    const auto begin = std::chrono::duration<double>(span->begin);
    if (span->busy)
      at_work(actor, start.load() + std::chrono::duration_cast<Clock::duration>(begin));
  }
  for (const auto& [actor, pulse] : pulses) {
    found[actor];
    if (const auto since = pulse.since()) at_work(actor, *since);
  }
  std::vector<Vitals> all;
  for (auto& [actor, one] : found) {
    one.actor = actor;
    all.push_back(one);
  }
  return all;
}

std::map<std::string, HttpServer::Page> Telemetry::State::pages() {
  return {{"/metrics",
           [this] {
             return HttpReply{200, "text/plain; version=0.0.4; charset=utf-8", scrape()};
           }},
          {"/healthz", [this] { return health_page(vitals(), options.progress_deadline_seconds); }},
          {"/readyz",
           [this] {
             const std::lock_guard lock(mutex);
             return readiness_page(needs);
           }},
          {"/", [this] { return index_page(); }}};
}

std::string Telemetry::State::scrape() {
  {
    const std::lock_guard lock(actors_mutex);
    for (const auto& [actor, one] : actors) {
      const ActorTime time = one.log->totals_since_mark();
      if (time.busy_seconds + time.idle_seconds > 0)
        metrics.gauge("troupe_actor_idle_ratio", actor).Set(time.idle_ratio());
    }
  }
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  {
    const std::lock_guard lock(mutex);
    for (const auto& look : scrape_lookers) look(metrics);
    if (plays("director")) metrics.gauge("troupe_learner_checkpoint_age_seconds").Set(since(saved));
    for (const auto& [verifier, oldest] : held_since)
      metrics.gauge("troupe_verifier_oldest_pending_seconds", verifier)
          .Set(oldest ? since(*oldest) : 0);
  }
  std::error_code error;  // of a disk that cannot be asked the gauge keeps its figure
  const auto space = std::filesystem::space(folder, error);
  if (!error) metrics.gauge("troupe_run_disk_free_bytes").Set(static_cast<double>(space.available));
  return metrics.expose();
}

HttpReply Telemetry::State::index_page() {
  std::string status, id;
  {
    const std::lock_guard lock(mutex);
    id = run.id;
    status = run.stages.empty() ? "starting" : plain_line(view());
  }
  return {
      200, "text/html; charset=utf-8",
      "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
      "<meta name=viewport content='width=device-width,initial-scale=1'><title>" +
          escape_html(run.name) +
          "</title><style>:root{color-scheme:light dark}body{font:16px/1.6 "
          "system-ui,sans-serif;max-width:46em;"
          "margin:2em auto;padding:0 1em}</style><h1>" +
          escape_html(run.name) + "</h1><p>" + escape_html(status) + "<p>run " + escape_html(id) +
          "<p><a href=metrics>metrics</a> &middot; <a href=healthz>health</a> &middot; <a "
          "href=readyz>readiness</a><p>config " +
          escape_html(run.config_digest) + ", " + escape_html(run.build_description) + "</html>\n"};
}

HttpServer* Telemetry::server() {
  return state_->server.get();
}

void Telemetry::meets(const std::string& need, bool met) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->needs.find(need);
  if (found != state_->needs.end()) found->second = met;
}

void Telemetry::before_scrape(std::function<void(Metrics&)> look) {
  const std::lock_guard lock(state_->mutex);
  state_->scrape_lookers.push_back(std::move(look));
}

void Telemetry::model_saved() {
  const std::lock_guard lock(state_->mutex);
  state_->saved = Clock::now();
}

void Telemetry::holds_since(const std::string& verifier, std::optional<Clock::time_point> oldest) {
  const std::lock_guard lock(state_->mutex);
  state_->held_since[verifier] = oldest;
}

std::string Telemetry::scrape() {
  return state_->scrape();
}

const std::string& Telemetry::metrics_address() const {
  return state_->options.metrics_address;
}

int Telemetry::metrics_port() const {
  return state_->server ? state_->server->port() : 0;
}

}  // namespace troupe
