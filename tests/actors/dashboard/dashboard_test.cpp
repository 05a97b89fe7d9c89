#include "actors/dashboard/dashboard.hpp"

#include "actors/dashboard/state_json.hpp"
#include "actors/dashboard/web_assets.hpp"
#include "actors/telemetry/peer_series.hpp"
#include "tests/actors/telemetry/http_client.hpp"
#include "tests/actors/telemetry/sample_rollout.hpp"
#include "tests/actors/telemetry/sample_run.hpp"
#include "tests/actors/telemetry/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <prometheus/gauge.h>
#include <stdexcept>

TEST_SUITE_BEGIN("actors/dashboard");

namespace troupe {

namespace {

constexpr const char* kToken = "0123456789abcdef";

struct Rig {
  explicit Rig(DashboardControl control = {}, bool loopback = true) {
    DashboardSource source;
    source.look = [this](const auto& look) { look(run); };
    source.seconds = [] { return 33.0; };
    source.rollouts = [this] { return rollouts; };
    source.rollouts_added = [this] { return rollouts.size(); };
    source.run_directory = folder.path;
    source.live = true;
    rollouts.push_back(std::make_shared<const RolloutView>(sample_rollout(5, 0.5)));
    dashboard = std::make_shared<Dashboard>(source, std::move(control), loopback);
    server =
        std::make_unique<HttpServer>("127.0.0.1", 0, std::map<std::string, HttpServer::Page>{});
    dashboard->serve_on(*server);
  }
  std::string ask(const std::string& method, const std::string& path,
                  const std::string& headers = "") {
    HttpClient client(server->port());
    const bool named = headers.find("Host:") != std::string::npos;
    client.send(method + " " + path + " HTTP/1.1\r\n" + (named ? "" : "Host: localhost:1\r\n") +
                headers + "Content-Length: 0\r\nConnection: close\r\n\r\n");
    return client.receive();
  }
  std::string get(const std::string& path) { return ask("GET", path); }

  TemporaryFolder folder;
  RunLog run = sample_run();
  std::vector<std::shared_ptr<const RolloutView>> rollouts;
  std::shared_ptr<Dashboard> dashboard;
  std::unique_ptr<HttpServer> server;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string status(const std::string& reply) {
  return reply.substr(9, 3);
}

}  // namespace

TEST_CASE("the state says what the run recorded") {
  Rig rig;
  const auto state = nlohmann::json::parse(rig.dashboard->state());
  CHECK(state["run"] == "demo");
  CHECK(state["run_id"] == "00112233445566778899aabbccddeeff");
  CHECK(state["version"] == 50);
  CHECK(state["staleness_bound"] == 2);
  CHECK(state["newest"]["lag_histogram"] == std::vector<int>{300, 200, 500});
  CHECK(state["ledger"]["buffered_rollouts"] == 20);
  CHECK(state["updates_recorded"] == 52);  // two of the pretrain stage
  CHECK(state["rollouts_recorded"] == 1);
  CHECK(state["bottleneck"]["role"] == "generator");
  CHECK(state["control"] == false);
  CHECK(!state.contains("metrics"));  // nobody knows them here
  REQUIRE(state["actors"].size() == 2);
  CHECK(state["actors"][0]["role"] == "generator");
  CHECK(state["actors"][0]["idle_ratio"] == 0.25);
}

TEST_CASE("updates that come later are added to the curves once") {
  Rig rig;
  CHECK(nlohmann::json::parse(rig.dashboard->history())["points"].size() == 52);
  rig.run.add(sample_update(51));
  rig.run.stages.push_back({.index = 2, .updates = 1, .kind = "rl", .name = "more", .begin = 40});
  rig.run.add(sample_update(1));
  CHECK(nlohmann::json::parse(rig.dashboard->history())["points"].size() == 54);
  CHECK(nlohmann::json::parse(rig.dashboard->history())["points"].size() == 54);
}

TEST_CASE("a sample of the load is in the state and in the history and on disk") {
  Rig rig;
  DashboardSource source;
  source.look = [&](const auto& look) { look(rig.run); };
  source.seconds = [] { return 33.0; };
  source.actors = [] {
    return std::vector<ActorView>{{"generator-0", "decode", {3, 1}, {}},
                                  {"learner", "", {1, 3}, {}}};
  };
  source.rollouts_added = [] { return std::uint64_t{0}; };
  source.at_verifiers = [] { return std::uint64_t{4}; };
  source.load = LoadHistory(rig.folder.path / "load.jsonl");
  Dashboard dashboard(source, {}, true);
  dashboard.sample();
  const auto load = nlohmann::json::parse(dashboard.state())["load"];
  CHECK(load["idle"]["generators"] == 0.25);
  CHECK(load["idle"]["learner"] == 0.75);
  CHECK(load["rollouts"]["buffered"] == 20);
  CHECK(load["rollouts"]["at_verifiers"] == 4);
  CHECK(nlohmann::json::parse(dashboard.load())["samples"].size() == 1);
  CHECK(read_load(rig.folder.path).samples().back().seconds == 33);
}

TEST_CASE("who left is told from who is lost however much has happened since") {
  Rig rig;
  TelemetryOptions options;
  options.run_directory = rig.folder.path / "run";
  options.quiet = true;
  Telemetry telemetry(options);
  PeerSeries peers(telemetry);
  for (const char* name : {"gen-0", "gen-1", "gen-2", "ver-0"}) {
    peers.joined(name);
    telemetry.peer_says({name, "decode", {1, 1}, 7});
  }
  peers.left("gen-0");
  peers.away("gen-1");
  for (std::size_t i = 0; i < 2 * RunLog::kMostEvents; ++i) telemetry.event("note", "on and on");
  Dashboard dashboard(live_source(telemetry), {}, true);
  const auto state = nlohmann::json::parse(dashboard.state());
  CHECK(state["peers"].dump() == R"([{"away":true,"name":"gen-1","role":"generator"},)"
                                 R"({"away":false,"name":"gen-2","role":"generator"},)"
                                 R"({"away":false,"name":"ver-0","role":"verifier"}])");
  REQUIRE(state["actors"].size() == 3);
  CHECK(state["actors"][0]["away"] == true);
  CHECK(state["actors"][1]["away"] == false);
}

TEST_CASE("how many rollouts verifiers have is not shown where it is not known") {
  Rig rig;
  TelemetryOptions options;
  options.run_directory = rig.folder.path / "run";
  options.quiet = true;
  options.roles = {"director"};  // generators are led by another process
  Telemetry telemetry(options);
  Dashboard dashboard(live_source(telemetry), {}, true);
  const auto shown = [&] {
    dashboard.sample();
    return nlohmann::json::parse(dashboard.load())["samples"].back()[4];
  };
  CHECK(nlohmann::json::parse(dashboard.load())["columns"][4] == "at_verifiers");
  CHECK(shown().is_null());
  telemetry.lent_elsewhere(3);
  CHECK(shown() == 3);
}

TEST_CASE("an actor in another process says its phase and version") {
  const auto actors =
      actors_json({{"gen-0", "decode", {1, 1}, 7}, {"learner", "train", {1, 1}, {}}});
  CHECK(actors[0]["phase"] == "decode");
  CHECK(actors[0]["version"] == 7);
  CHECK_FALSE(actors[1].contains("version"));
}

TEST_CASE("a broken ledger and a token beyond the bound turn their lights red") {
  Rig rig;
  rig.run.stages[1].ledger.imbalance_tokens = -3;
  rig.run.stages[1].ledger.tokens_beyond_bound = 1;
  const auto lights = nlohmann::json::parse(rig.dashboard->state())["lights"];
  CHECK(lights[0]["state"] == "bad");
  CHECK(lights[1]["state"] == "bad");
  CHECK(lights[2]["state"] == "ok");
}

TEST_CASE("the metrics are the ones that are exported") {
  Metrics metrics;
  metrics.gauge("troupe_run_update").Set(7);
  metrics.gauge("troupe_actor_idle_ratio", "learner").Set(0.25);
  const auto json = metrics_json(metrics);
  CHECK(json["troupe_run_update"] == 7);
  CHECK(json["troupe_actor_idle_ratio"]["learner"] == 0.25);
}

TEST_CASE("what a model wrote is sent as JSON and never as a page") {
  Rig rig;
  const std::string reply = rig.get("/api/rollouts/0000000000000005");
  CHECK(has(reply, "Content-Type: application/json\r\n"));
  CHECK(has(reply, "X-Content-Type-Options: nosniff\r\n"));
  const auto rollout = nlohmann::json::parse(reply.substr(reply.find("\r\n\r\n") + 4));
  CHECK(rollout["pieces"][2] == kHostile);
  CHECK(!has(rig.get("/"), "owned"));
  CHECK(status(rig.get("/api/rollouts/0000000000000009")) == "404");
}

TEST_CASE("the page runs no inline script and asks no other host") {
  Rig rig;
  const std::string page = rig.get("/");
  CHECK(status(page) == "200");
  CHECK(has(page, "script-src 'self'; style-src 'self'; connect-src 'self'"));
  CHECK(has(page, "default-src 'none'"));
  CHECK(has(page, "frame-ancestors 'none'"));
  CHECK(!has(page, "unsafe-inline"));
  CHECK(!has(page, "<script>"));
  CHECK(!has(page, " style="));
  CHECK(!has(page, " onclick="));
  for (const char* path :
       {"/", "/web/style.css", "/web/app.js", "/web/charts.js", "/web/rollouts.js"}) {
    const WebAsset* asset = web_asset(path);
    REQUIRE(asset != nullptr);
    CHECK(!has(std::string(asset->content), "https://"));
    CHECK(!has(std::string(asset->content), "innerHTML"));
  }
}

TEST_CASE("all of the page together is small and what is compiled in comes with a licence") {
  std::size_t bytes = 0;
  for (const char* path : {"/", "/web/style.css", "/web/app.js", "/web/charts.js",
                           "/web/rollouts.js", "/web/dygraph.min.js"}) {
    REQUIRE(web_asset(path) != nullptr);
    bytes += web_asset(path)->content.size();
  }
  CHECK(bytes < 600'000);
  REQUIRE(web_asset("/licences") != nullptr);
  const std::string licences(web_asset("/licences")->content);
  for (const char* part :
       {"dygraphs", "CAF", "Cap'n Proto", "OpenSSL", "prometheus-cpp", "CivetWeb", "toml++",
        "CLI11", "spdlog", "fmt", "JSON for Modern C++", "xxHash", "zlib"})
    CHECK(has(licences, std::string(part) + "\n=="));
  CHECK(has(licences, "Permission is hereby granted"));
  CHECK(!has(licences, "Not at hand"));
}

TEST_CASE("without a token nothing can be changed") {
  bool stopped = false;
  Rig rig({"", [&] { stopped = true; }, {}});
  CHECK(status(rig.ask("POST", "/control/stop", "X-Troupe-Token: \r\n")) == "403");
  CHECK(status(rig.ask("POST", "/control/stop")) == "403");
  CHECK(status(rig.ask("POST", "/api/state")) == "405");
  CHECK(!stopped);
}

TEST_CASE("a run is stopped once by whoever knows the token") {
  int stopped = 0;
  Rig rig({kToken, [&] { ++stopped; }, {}});
  CHECK(status(rig.ask("POST", "/control/stop", "X-Troupe-Token: 0123456789abcdeX\r\n")) == "403");
  CHECK(status(rig.ask("POST", "/control/stop?token=0123456789abcdef")) == "403");
  CHECK(status(rig.ask("GET", "/control/stop", "X-Troupe-Token: 0123456789abcdef\r\n")) == "405");
  CHECK(status(rig.ask("POST", "/control/else", "X-Troupe-Token: 0123456789abcdef\r\n")) == "404");
  CHECK(stopped == 0);
  CHECK(status(rig.ask("POST", "/control/stop", "X-Troupe-Token: 0123456789abcdef\r\n")) == "200");
  CHECK(status(rig.ask("POST", "/control/stop", "X-Troupe-Token: 0123456789abcdef\r\n")) == "200");
  CHECK(stopped == 1);  // a second Ctrl-C would end the process at once
  CHECK(nlohmann::json::parse(rig.dashboard->state())["stopping"] == true);
}

TEST_CASE("a run is paused and resumed by whoever knows the token") {
  std::vector<bool> heard;
  DashboardControl control;
  control.token = kToken;
  control.pause = [&](bool on) { heard.push_back(on); };
  Rig rig(std::move(control));
  const std::string own = "X-Troupe-Token: 0123456789abcdef\r\n";
  CHECK(status(rig.ask("POST", "/control/pause")) == "403");
  CHECK(status(rig.ask("POST", "/control/pause", own)) == "200");
  CHECK(status(rig.ask("POST", "/control/resume", own)) == "200");
  CHECK(heard == std::vector<bool>{true, false});
}

TEST_CASE("a name of elsewhere that points here is not served") {
  Rig rig;
  CHECK(status(rig.ask("GET", "/api/state", "Host: evil.example:80\r\n")) == "421");
  CHECK(status(rig.ask("GET", "/", "Host: evil.example\r\n")) == "421");
  CHECK(status(rig.ask("GET", "/events", "Host: evil.example\r\n")) == "421");
  CHECK(status(rig.ask("GET", "/", "Host: 127.0.0.1:8080\r\n")) == "200");
  CHECK(status(rig.ask("GET", "/", "Host: [::1]:8080\r\n")) == "200");
  Rig open({}, false);
  CHECK(status(open.ask("GET", "/", "Host: director.cluster.example\r\n")) == "200");
}

TEST_CASE("only the files of a run can be fetched") {
  Rig rig;
  std::ofstream(rig.folder.path / "metrics.jsonl") << "lines\n";
  std::ofstream(rig.folder.path / "secret") << "secret\n";
  const std::string reply = rig.get("/download/metrics.jsonl");
  CHECK(has(reply, "Content-Disposition: attachment; filename=\"metrics.jsonl\""));
  CHECK(has(reply, "\r\n\r\nlines\n"));
  CHECK(has(rig.get("/download/history.csv"), "stage,update,updates,seconds"));
  CHECK(has(rig.get("/download/model-card.md"), "library_name: transformers"));
  CHECK(has(rig.get("/download/manifest.json"), "\"config_digest\""));
  CHECK(status(rig.get("/download/summary.json")) == "404");
  for (const char* path : {"/download/secret", "/download/../secret", "/download/%2e%2e/secret"})
    CHECK(!has(rig.get(path), "secret\n"));
}

TEST_CASE("the state is streamed to whoever listens") {
  Rig rig;
  HttpClient client(rig.server->port());
  client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string begin = client.receive_until("\n\n");
  CHECK(has(begin, "Content-Type: text/event-stream\r\n"));
  CHECK(has(begin, "data: {\"run\":\"demo\""));
}

TEST_CASE("a token that others may read or that is short is refused by file") {
  const TemporaryFolder folder;
  const auto file = folder.path / "token";
  CHECK_THROWS_WITH_AS(read_control_token(file), doctest::Contains("cannot be read"),
                       std::runtime_error);
  std::ofstream(file) << "short\n";
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  CHECK_THROWS_WITH_AS(read_control_token(file), doctest::Contains("shorter than"),
                       std::runtime_error);
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  std::ofstream(file) << kToken << "\n";
  CHECK(read_control_token(file) == kToken);
  std::filesystem::permissions(file, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  CHECK_THROWS_WITH_AS(read_control_token(file), doctest::Contains("others may read"),
                       std::runtime_error);
}

}  // namespace troupe

TEST_SUITE_END();
