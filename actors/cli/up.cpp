#include "actors/cli/child_process.hpp"
#include "actors/cli/commands.hpp"
#include "actors/cli/control_socket.hpp"
#include "actors/cli/process.hpp"
#include "actors/cli/reserved_ports.hpp"
#include "actors/cli/restart_rules.hpp"
#include "actors/cli/targets.hpp"
#include "messages/pki/authority.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/signalfd.h>
#include <thread>
#include <unistd.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A generator or verifier: its process, while there is one.
struct Member {
  std::string name, role;
  RestartRules rules;
  std::unique_ptr<ChildProcess> process;
  double started = 0;
  double start_at = 0;  // when there is none
  double kill_at = 0;   // 0: it stays
  bool over = false;    // gone for good
};

/// The processes of a run. One thread.
class Company {
 public:
  Company(const UpOptions& options, const Config& config, fs::path directory);
  ~Company() { close(signals_); }
  int run();
  void tell_it_is_over() { targets_.clear(); }

 private:
  void issue_learners();
  void begin_gate();
  void begin_director();
  void look_after_gate();
  void add(const std::string& role, std::string name = {});
  void begin(Member& member);
  void look_after(Member& member);
  void note_end(Member& member, const ChildEnd& end);
  void resize(const std::string& role, std::size_t count);
  nlohmann::json scale(const nlohmann::json& question);
  nlohmann::json names(const std::string& role, bool leaving) const;
  fs::path ready_file() const;
  void begin_when_ready();
  void take_signals();
  void wait();
  void end_others();
  bool goes_on_without_director(const ChildEnd& end);
  int exit_code(const ChildEnd& end);
  void say(const std::string& text);
  std::vector<std::string> common(const std::string& role, const std::string& name) const;
  template <class Want>
  std::vector<Member*> members(Want want) {
    std::vector<Member*> found;
    for (const auto& member : members_)
      if (want(*member)) found.push_back(member.get());
    return found;
  }

  const UpOptions& options_;
  const Config& config_;
  const fs::path directory_;
  std::size_t generators_;  // that are wanted
  pki::Authority authority_;
  std::ofstream log_;
  int signals_;
  int interrupts_ = 0;
  ReservedPorts rank_ports_;  // none: ranks are threads
  std::string address_;       // of the gate; empty: not ready yet
  std::map<std::string, std::size_t> next_number_;
  std::vector<std::unique_ptr<Member>> members_;
  Targets targets_;
  std::unique_ptr<ControlSocket> control_;
  std::unique_ptr<ChildProcess> gate_;  // the replay buffer's process; null: that is the director's
  std::unique_ptr<ChildProcess> director_;  // null: not yet, or about to be started again
  std::optional<ChildEnd> gate_over_;       // it ended, and not with the run
  RestartRules director_rules_;
  double director_started_ = 0, director_at_ = 0;  // when it was started; when it is to be
};

int blocked_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/// Who computes at the same time, the director's learner and each generator, gets an equal share.
std::int32_t threads_each(const Config& config, std::size_t generators) {
  const std::int32_t all = config.run.threads > 0
                               ? config.run.threads
                               : static_cast<std::int32_t>(std::thread::hardware_concurrency());
  return std::max(1, all / (static_cast<std::int32_t>(generators) + 1));
}

Company::Company(const UpOptions& options, const Config& config, fs::path directory)
    : options_(options),
      config_(config),
      directory_(std::move(directory)),
      generators_(static_cast<std::size_t>(config.generator.count)),
      authority_(pki::Authority::create(directory_ / "pki")),
      signals_(blocked_signals()),
      targets_(directory_) {
  for (const char* folder : {"logs", "processes"}) fs::create_directory(directory_ / folder);
  log_.open(directory_ / "logs" / "up.log");
  authority_.issue({pki::Role::director, "director", {"127.0.0.1", "localhost"}, {}});
  authority_.issue({pki::Role::observer, "observer", {}, {}});
  if (config_.network.learner_apart()) issue_learners();
  if (config_.network.broadcaster_apart())
    authority_.issue({pki::Role::broadcaster, "broadcaster", {"127.0.0.1", "localhost"}, {}});
  control_ = std::make_unique<ControlSocket>(directory_);
  director_rules_.limit = config_.director.restart_limit;
  if (config_.network.replay_buffer_apart())
    begin_gate();
  else
    begin_director();
}

/// Ranks that are processes meet at ports of this machine, wherever the config has them.
void Company::issue_learners() {
  const std::vector<std::string> hosts = {"127.0.0.1", "localhost"};
  authority_.issue({pki::Role::learner, "learner", hosts, {}});
  if (!config_.network.ranks_apart()) return;
  for (std::int32_t rank = 1; rank < config_.learner.ranks; ++rank)
    authority_.issue({pki::Role::learner, "learner-" + std::to_string(rank), hosts, {}});
  rank_ports_ = ReservedPorts(config_.learner.ranks);
}

void Company::begin_gate() {
  const std::string role = "replay-buffer";
  authority_.issue({pki::Role::replay_buffer, role, {"127.0.0.1", "localhost"}, {}});
  std::vector<std::string> words = common(role, role);
  words.insert(words.end(),
               {"--out", (directory_ / "processes").string(), "--quiet", "--ready-file",
                ready_file().string(), "--metrics-file", targets_.expect(role, role).string(),
                "--set", "metrics.port=0", "--set", "network.listen=127.0.0.1:0"});
  gate_ = std::make_unique<ChildProcess>(words, directory_ / "logs" / (role + ".log"));
}

/// Of the process with the gate.
fs::path Company::ready_file() const {
  return directory_ / "processes" / (std::string(config_.network.gate_role()) + ".json");
}

void Company::begin_director() {
  std::vector<std::string> words = common("director", "director");
  words.insert(words.end(), {"--run-directory", directory_.string(), "--metrics-file",
                             targets_.expect("director", "director").string()});
  if (!gate_)
    words.insert(words.end(),
                 {"--ready-file", ready_file().string(), "--set", "network.listen=127.0.0.1:0"});
  if (options_.plain) words.push_back("--plain");
  if (options_.quiet) words.push_back("--quiet");
  if (options_.json_progress) words.insert(words.end(), {"--progress", "json"});
  if (options_.trace) words.push_back("--trace");
  director_ = std::make_unique<ChildProcess>(words, fs::path());
  director_started_ = now();
}

std::vector<std::string> Company::common(const std::string& role, const std::string& name) const {
  std::vector<std::string> words = {"serve",  options_.config,
                                    "--role", role,
                                    "--name", name,
                                    "--pki",  (directory_ / "pki").string()};
  for (const std::string& change : options_.overrides) words.insert(words.end(), {"--set", change});
  words.insert(words.end(), {"--set", "network.revocation-list=true"});  // there is one
  if (config_.network.broadcaster_apart())
    words.insert(words.end(), {"--set", "network.broadcaster=127.0.0.1:0"});
  if (config_.network.learner_has_gate())
    words.insert(words.end(), {"--set", "network.learner=127.0.0.1:0"});
  if (config_.network.replay_buffer_apart())
    words.insert(words.end(), {"--set", "network.replay-buffer=" +
                                            (address_.empty() ? "127.0.0.1:0" : address_)});
  if (const auto& ranks = rank_ports_.addresses(); !ranks.empty())
    words.insert(words.end(),
                 {"--set", fmt::format("network.learner-ranks={}", fmt::join(ranks, ","))});
  words.insert(words.end(), {"--threads", std::to_string(threads_each(config_, generators_))});
  return words;
}

void Company::say(const std::string& text) {
  std::cerr << "troupe: " << text << "\n";
  log_ << text << std::endl;
}

void Company::add(const std::string& role, std::string name) {
  auto member = std::make_unique<Member>();
  member->role = role;
  member->name = name.empty() ? role : std::move(name);
  member->rules.limit = config_.director.restart_limit;
  if (role == "generator" || role == "verifier") {
    member->name = (role == "generator" ? "gen-" : "ver-") + std::to_string(next_number_[role]++);
    authority_.issue({*pki::parse_role(role), member->name, {}, {}});
  }
  begin(*member);
  members_.push_back(std::move(member));
}

void Company::begin(Member& member) {
  std::vector<std::string> words = common(member.role, member.name);
  words.insert(words.end(),
               {"--out", (directory_ / "processes").string(), "--quiet", "--metrics-file",
                targets_.expect(member.name, member.role).string(), "--set",
                "metrics.port=0"});  // the one of the config is the director's
  if (!gate_) words.insert(words.end(), {"--director", address_});
  if (member.role == "broadcaster" || member.role == "generator")
    words.insert(words.end(), {"--set", "network.listen=127.0.0.1:0"});
  member.process =
      std::make_unique<ChildProcess>(words, directory_ / "logs" / (member.name + ".log"));
  member.started = now();
}

void Company::note_end(Member& member, const ChildEnd& end) {
  member.process.reset();
  targets_.remove(member.name);
  member.over = member.kill_at > 0 || end.code == exit_ok;
  if (member.over) return say(member.name + " has ended: " + end.text());
  const std::optional<double> pause = member.rules.died_after(now() - member.started);
  member.over = !pause;
  member.start_at = now() + pause.value_or(0);
  if (pause)
    return say(
        fmt::format("{} died: {}; started again in {:.1f} s", member.name, end.text(), *pause));
  say(fmt::format("{} died: {}; given up after {} short lives (director.restart-limit), see {}",
                  member.name, end.text(), member.rules.short_lives,
                  (directory_ / "logs" / (member.name + ".log")).string()));
}

void Company::look_after(Member& member) {
  if (!member.process) {
    if (interrupts_ == 0 && now() >= member.start_at) begin(member);
  } else if (const auto end = member.process->ended()) {
    note_end(member, *end);
  } else if (member.kill_at > 0 && now() >= member.kill_at) {
    member.process->signal(SIGKILL);
  }
}

void Company::resize(const std::string& role, std::size_t count) {
  constexpr double kBeyondDrain = 5;
  if (role == "generator") generators_ = count;
  auto stay =
      members([&](const Member& member) { return member.role == role && member.kill_at == 0; });
  for (std::size_t i = stay.size(); i < count; ++i) add(role);
  for (; stay.size() > count; stay.pop_back()) {
    Member& member = *stay.back();
    member.kill_at = now() + config_.network.drain_seconds + kBeyondDrain;
    member.over = !member.process;
    if (member.process) member.process->signal(SIGTERM);
  }
}

nlohmann::json Company::names(const std::string& role, bool leaving) const {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& member : members_)
    if ((role.empty() || member->role == role) && (member->kill_at > 0) == leaving)
      list.push_back(member->name);
  return list;
}

nlohmann::json Company::scale(const nlohmann::json& question) {
  if (address_.empty()) return {{"error", "the run is starting; try again"}};
  for (const std::string role : {"generator", "verifier"}) {
    const auto wanted = question.find(role + "s");
    if (wanted == question.end()) continue;
    constexpr std::size_t kMost = 1000;
    if (!wanted->is_number_unsigned() || *wanted == 0 || *wanted > kMost)
      return {{"error", role + "s: from 1 to " + std::to_string(kMost)}};
    resize(role, wanted->get<std::size_t>());
  }
  return {{"generators", names("generator", false)},
          {"verifiers", names("verifier", false)},
          {"leaving", names("", true)}};
}

void Company::begin_when_ready() {
  std::ifstream file(ready_file());
  if (!file) return;
  address_ = nlohmann::json::parse(file).at("address").get<std::string>();
  if (gate_) begin_director();
  if (config_.network.learner_apart()) add("learner");
  for (std::int32_t rank = 1; !rank_ports_.addresses().empty() && rank < config_.learner.ranks;
       ++rank)
    add("learner", "learner-" + std::to_string(rank));
  if (config_.network.broadcaster_apart()) add("broadcaster");
  resize("generator", static_cast<std::size_t>(config_.generator.count));
  resize("verifier", static_cast<std::size_t>(config_.verifier.count));
  say(directory_.string() + " runs at " + address_ + "; troupe status " + address_ + " --pki " +
      (directory_ / "pki").string());
}

void Company::take_signals() {
  signalfd_siginfo taken;
  while (read(signals_, &taken, sizeof taken) == sizeof taken) {
    if (taken.ssi_signo == SIGCHLD) continue;
    if (++interrupts_ != 1) continue;
    if (!director_) return void(interrupts_ = 2);  // nobody there to end the run well
    say("stopping after this update; once more to stop at once");
    director_->signal(SIGINT);
  }
}

void Company::wait() {
  constexpr int kLongestMilliseconds = 100;  // until the next look at the deadlines
  pollfd watched[] = {{signals_, POLLIN, 0}, {control_->descriptor(), POLLIN, 0}};
  poll(watched, std::size(watched), kLongestMilliseconds);
  take_signals();
  if (watched[1].revents != 0)
    control_->serve([this](const nlohmann::json& question) { return scale(question); });
}

/// The director has dismissed them; who does not hear is asked, then killed.
void Company::end_others() {
  constexpr double kDismissalSeconds = 3, kPatienceSeconds = 6;
  const double begin = now();
  bool asked = false;
  while (interrupts_ < 2 && now() < begin + kPatienceSeconds) {
    const bool gate_there = gate_ && !gate_->ended();
    if (!gate_there &&
        members([](Member& member) { return member.process && !member.process->ended(); }).empty())
      break;
    if (!asked && now() > begin + kDismissalSeconds) {
      asked = true;
      for (Member* member : members([](Member& one) { return one.process != nullptr; }))
        member->process->signal(SIGTERM);
      if (gate_there) gate_->signal(SIGTERM);
    }
    wait();
  }
  members_.clear();
  gate_.reset();
}

int Company::exit_code(const ChildEnd& end) {
  if (end.signal == 0) return end.code;
  say("the director died: " + end.text() + "; the run is over, everything else was ended");
  return exit_failed;
}

/// With the replay buffer elsewhere the others do not notice that the director is gone: another takes its place.
bool Company::goes_on_without_director(const ChildEnd& end) {
  if (!gate_ || end.signal == 0 || interrupts_ > 0 || gate_over_) return false;
  const std::optional<double> pause = director_rules_.died_after(now() - director_started_);
  if (!pause) return false;
  director_.reset();
  director_at_ = now() + *pause;
  say(fmt::format("director died: {}; started again in {:.1f} s", end.text(), *pause));
  return true;
}

/// Its end is the run's, which the director ends well if it can.
void Company::look_after_gate() {
  if (!gate_ || gate_over_) return;
  const auto end = gate_->ended();
  if (!end || end->code == exit_ok) return;
  gate_over_ = *end;
  say("the replay buffer's process died: " + end->text() + "; the run is over, see " +
      (directory_ / "logs" / "replay-buffer.log").string());
  if (director_) director_->signal(SIGTERM);
}

int Company::run() {
  while (interrupts_ < 2) {
    wait();
    look_after_gate();
    if (gate_over_ && !director_) return gate_over_->signal != 0 ? exit_failed : gate_over_->code;
    if (const auto end = director_ ? director_->ended() : std::nullopt;
        end && !goes_on_without_director(*end)) {
      const bool alone = end->signal != 0 || gate_over_;  // nobody has dismissed the others
      if (alone) members_.clear(), gate_.reset();
      end_others();
      return exit_code(*end);
    }
    if (address_.empty())
      begin_when_ready();
    else if (!director_ && now() >= director_at_)
      begin_director();
    for (const auto& member : members_) look_after(*member);
    std::erase_if(members_, [](const auto& member) { return member->over; });
    targets_.update();
  }
  return exit_interrupted;  // whoever is there is killed with its owner
}

}  // namespace

int up(const UpOptions& options) {
  const std::optional<Config> config = checked_config(options.config, options.overrides);
  if (!config) return exit_bad_input;
  Company company(options, *config, fs::absolute(new_run_directory(config->run)));
  const int code = company.run();
  company.tell_it_is_over();
  return code;
}

}  // namespace troupe
