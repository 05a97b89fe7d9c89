#include "actors/dashboard/dashboard.hpp"

#include "actors/dashboard/model_card.hpp"
#include "actors/dashboard/web_assets.hpp"
#include "actors/telemetry/text.hpp"

#include <openssl/crypto.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

namespace troupe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kEvery{1000}, kSampleEvery{2000};
constexpr double kWindowSeconds = 30;  // that the sentence is about
constexpr std::uintmax_t kMostDownload = std::uintmax_t{256} << 20;

const std::map<std::string, std::string>& safe_headers() {
  static const std::map<std::string, std::string> headers = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
       "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
  return headers;
}

HttpReply reply(int status, const std::string& type, std::string body) {
  return {status, type, std::move(body), safe_headers()};
}

HttpReply json_reply(std::string body) {
  return reply(200, "application/json", std::move(body));
}

HttpReply refusal(int status, const std::string& why) {
  return reply(status, "text/plain; charset=utf-8", why + "\n");
}

/// "[::1]:9090" -> "[::1]".
std::string without_port(const std::string& host) {
  const std::size_t colon = host.rfind(':');
  return colon == std::string::npos || host.back() == ']' ? host : host.substr(0, colon);
}

bool same_secret(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

/// How the actors of a run that has ended spent its main stage.
void add_recorded_times(Json& json, const RunLog& run) {
  std::map<std::string, ActorTime> times;
  if (const StageLog* stage = run.main_stage(); stage != nullptr && stage->record)
    times = stage->record->actors;
  std::vector<ActorView> actors;
  for (const auto& [name, time] : times) actors.push_back({name, "", time});
  json["actors"] = actors_json(actors);
  json["bottleneck"] = bottleneck_json(role_shares(times));
}

/// Files of the run directory that may be fetched.
constexpr std::array<std::pair<const char*, const char*>, 7> kDownloads = {
    {{"config.toml", "application/toml"},
     {"metrics.jsonl", "application/x-ndjson"},
     {"load.jsonl", "application/x-ndjson"},
     {"rollouts.jsonl", "application/x-ndjson"},
     {"lineage.jsonl", "application/x-ndjson"},
     {"summary.json", "application/json"},
     {"report.html", "text/html; charset=utf-8"}}};

HttpReply attachment(const std::string& name, const char* type, std::string body) {
  HttpReply out = reply(200, type, std::move(body));
  out.headers["Content-Disposition"] = "attachment; filename=\"" + name + "\"";
  return out;
}

}  // namespace

Dashboard::Dashboard(DashboardSource source, DashboardControl control, bool loopback)
    : source_(std::move(source)),
      control_(std::move(control)),
      loopback_(loopback),
      load_(source_.load) {
  if (source_.live && source_.actors) sampler_ = std::thread([this] { sample_until_stopped(); });
}

Dashboard::~Dashboard() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  if (sampler_.joinable()) sampler_.join();
}

void Dashboard::sample_until_stopped() {
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, kSampleEvery, [this] { return ending_; })) {
    lock.unlock();
    sample();
    lock.lock();
  }
}

void Dashboard::sample() {
  std::map<std::string, ActorTime> times;
  for (const ActorView& actor : source_.actors()) times[actor.name] = actor.time;
  LoadSample now;
  now.seconds = source_.seconds();
  source_.look([&](const RunLog& run) {
    if (run.stages.empty() || run.stages.back().kind != "rl") return;
    now.buffered = static_cast<double>(run.stages.back().ledger.buffered_rollouts);
    now.in_flight = static_cast<double>(run.stages.back().ledger.in_flight_rollouts);
  });
  if (source_.at_verifiers)
    if (const auto rollouts = source_.at_verifiers())
      now.at_verifiers = static_cast<double>(*rollouts);
  const std::lock_guard lock(mutex_);
  const RoleShares shares = meter_.since_before(times);
  now.generators = shares.generators;
  now.verifiers = shares.verifiers;
  now.learner = shares.learner;
  load_.add(now);
}

std::string Dashboard::load() {
  const std::lock_guard lock(mutex_);
  return dump_json(load_history_json(load_.samples()));
}

void Dashboard::serve_on(HttpServer& server) {
  const auto self = shared_from_this();
  const HttpServer::Handler handle = [self](const HttpRequest& request) {
    return self->answer(request);
  };
  for (const char* pattern : {"/$", "/web/*$", "/licences$", "/api/*$", "/api/rollouts/*$",
                              "/download/*$", "/control/*$"})
    server.add(pattern, handle);
  server.add_stream(
      "/events", kEvery, [self] { return self->state(); },
      [self](const HttpRequest& request) { return self->admitted(request); });
}

/// Over the last kWindowSeconds, or as long as there is somebody to look.
RoleShares Dashboard::recent_shares(double now) {
  Times newest{now, {}};
  for (const ActorView& actor : source_.actors()) newest.actors[actor.name] = actor.time;
  while (times_.size() > 1 && times_[1].seconds + kWindowSeconds <= now) times_.pop_front();
  std::map<std::string, ActorTime> recent;
  for (const auto& [name, time] : newest.actors) {
    const auto then = times_.empty() ? newest.actors.end() : times_.front().actors.find(name);
    const bool known = !times_.empty() && then != times_.front().actors.end();
    recent[name] = known ? time_between(then->second, time) : time;
  }
  times_.push_back(std::move(newest));
  return role_shares(recent);
}

std::string Dashboard::state() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (stated_ && now - *stated_ < kEvery / 2) return state_;  // of several who look
  Json json;
  source_.look([&](const RunLog& run) {
    json = run_json(run, source_.seconds());
    json["updates_recorded"] = run.history.added();
    json["events_count"] = run.event_count;
    if (!source_.actors) add_recorded_times(json, run);
  });
  json["live"] = source_.live;
  json["control"] = !control_.token.empty();
  json["stopping"] = stopped_;
  json["paused"] = source_.paused && source_.paused();
  if (source_.actors) {
    const auto actors = source_.actors();
    json["actors"] = actors_json(actors);
    json["peers"] = peers_json(actors);
    json["bottleneck"] = bottleneck_json(recent_shares(source_.seconds()));
    json["bottleneck"]["seconds"] = times_.back().seconds - times_.front().seconds;
  }
  if (source_.metrics) json["metrics"] = source_.metrics();
  if (!load_.samples().empty()) json["load"] = load_json(load_.samples().back());
  json["rollouts_recorded"] = source_.rollouts_added();
  state_ = dump_json(json);
  stated_ = now;
  return state_;
}

/// A copy, so that the run need not wait until it is written out.
History Dashboard::curves() const {
  std::optional<History> copy;
  source_.look([&](const RunLog& run) { copy = run.history; });
  return std::move(*copy);
}

std::string Dashboard::history() const {
  return dump_json(history_json(curves()));
}

std::string Dashboard::rollout_list() const {
  Json rows = Json::array();
  for (const auto& rollout : source_.rollouts()) rows.push_back(rollout_row(*rollout));
  return dump_json(rows);
}

std::optional<std::string> Dashboard::rollout(const std::string& id) const {
  for (const auto& rollout : source_.rollouts())
    if (rollout->id == id) return rollout_line(*rollout);
  return std::nullopt;
}

std::string Dashboard::events() const {
  std::string text;
  source_.look([&](const RunLog& run) { text = dump_json(events_json(run)); });
  return text;
}

/// A page of elsewhere whose name was made to point here must not read along.
HttpReply Dashboard::admitted(const HttpRequest& request) const {
  if (!loopback_) return {200, "", ""};
  const std::string host = without_port(request.header("Host"));
  for (const char* own : {"localhost", "127.0.0.1", "[::1]"})
    if (host == own) return {200, "", ""};
  return refusal(421, "this server is for this machine: ask for localhost");
}

HttpReply Dashboard::control(const HttpRequest& request) {
  if (control_.token.empty())
    return refusal(403, "read-only: metrics.control-token-file is not set");
  if (request.method != "POST") return refusal(405, "POST it");
  // In a header of its own, which no form and no link of another page can send.
  if (!same_secret(request.header("X-Troupe-Token"), control_.token))
    return refusal(403, "the token is wrong");
  const std::string command = request.path.substr(std::string("/control/").size());
  if (command == "pause" || command == "resume") {
    control_.pause(command == "pause");
  } else if (command == "stop") {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = !std::exchange(stopped_, true);
    }
    if (first) control_.stop();
  } else {
    return refusal(404, "no such command");
  }
  const std::lock_guard lock(mutex_);
  stated_.reset();  // whoever looks next sees it
  return json_reply("{\"done\":\"" + command + "\"}");
}

HttpReply Dashboard::download(const std::string& name) {
  if (name == "history.csv") {
    return attachment(name, "text/csv; charset=utf-8", history_csv(curves()));
  }
  if (name == "model-card.md" || name == "manifest.json") {
    std::string text;
    source_.look([&](const RunLog& run) {
      text = name == "model-card.md"
                 ? model_card(run)
                 : dump_json(run_manifest(run, source_.run_directory), 2) + "\n";
    });
    return attachment(name,
                      name == "model-card.md" ? "text/markdown; charset=utf-8" : "application/json",
                      std::move(text));
  }
  for (const auto& [file, type] : kDownloads) {
    if (name != file) continue;
    std::error_code error;
    const auto bytes = std::filesystem::file_size(source_.run_directory / name, error);
    if (error) return refusal(404, name + " is not written yet");
    if (bytes > kMostDownload)
      return refusal(413, name + " is large: take it from the run directory");
    std::ostringstream content;
    content << std::ifstream(source_.run_directory / name, std::ios::binary).rdbuf();
    return attachment(name, type, std::move(content).str());
  }
  return refusal(404, "no such file");
}

HttpReply Dashboard::answer(const HttpRequest& request) {
  if (HttpReply refused = admitted(request); refused.status != 200) return refused;
  const std::string& path = request.path;
  if (path.starts_with("/control/")) return control(request);
  if (request.method != "GET" && request.method != "HEAD") return refusal(405, "only to be read");
  if (path == "/api/state") return json_reply(state());
  if (path == "/api/history") return json_reply(history());
  if (path == "/api/load") return json_reply(load());
  if (path == "/api/events") return json_reply(events());
  if (path == "/api/rollouts") return json_reply(rollout_list());
  const std::string one = "/api/rollouts/", file = "/download/";
  if (path.starts_with(one)) {
    if (auto found = rollout(path.substr(one.size()))) return json_reply(std::move(*found));
    return refusal(404, "this rollout is not kept");
  }
  if (path.starts_with(file)) return download(path.substr(file.size()));
  if (const WebAsset* asset = web_asset(path))
    return reply(200, std::string(asset->content_type), std::string(asset->content));
  return refusal(404, "no such page");
}

}  // namespace troupe
