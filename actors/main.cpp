#include "actors/cli/command_words.hpp"
#include "actors/cli/commands.hpp"
#include "actors/config/schema.hpp"
#include "actors/config/suggest.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>

namespace {

constexpr const char* kFooter =
    "exit codes: 0 done; 1 the run ended with an error (what was trained is saved); 2 bad command "
    "line, config, data "
    "or model; 130 stopped by Ctrl-C (once: finish the update, save, report; twice: at once)\n";

void add_config_options(CLI::App& command, std::string& config,
                        std::vector<std::string>& overrides) {
  command.add_option("config", config, "Config file (TOML)")->required()->type_name("FILE");
  command
      .add_option("--set", overrides,
                  "Override one key: section.key=value, stage.NAME.key=value (repeat for more)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

/// How a run tells of itself on stdout and stderr.
void add_progress_options(CLI::App& command, bool& plain, bool& quiet, bool& json) {
  command.add_flag("--plain", plain, "One line per update even on a terminal (--progress plain)");
  command.add_flag("--quiet", quiet, "Only warnings and the closing table");
  command
      .add_option_function<std::string>(
          "--progress",
          [&plain, &json](const std::string& kind) {
            plain = plain || kind == "plain";
            json = kind == "json";
          },
          "auto: live on a terminal, else plain; json: the lines of metrics.jsonl on stdout, for "
          "programs")
      ->check(CLI::IsMember({"auto", "plain", "json"}));
}

/// Says so, with a guess, if it is a word that is no command.
bool unknown_command(const std::string& word, const std::vector<std::string>& commands) {
  if (word.starts_with('-') || std::find(commands.begin(), commands.end(), word) != commands.end())
    return false;
  const auto close = troupe::config::nearest(word, commands);
  std::cerr << "troupe: unknown command " << word
            << (close ? "; did you mean " + *close + "?" : std::string("; see troupe --help"))
            << "\n";
  return true;
}

void add_pki_command(CLI::App& app, troupe::PkiOptions& options, int& code) {
  CLI::App* pki = app.add_subcommand("pki", "Certificates of the processes of a cluster");
  pki->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, int (*run)(const troupe::PkiOptions&)) {
    CLI::App* command = pki->add_subcommand(name, what);
    command->option_defaults()->always_capture_default(false);
    command->callback([&options, &code, run] { code = run(options); });
    return command;
  };
  const auto add_directory = [&](CLI::App* command) {
    command->add_option("dir", options.directory, "The authority's directory")
        ->required()
        ->type_name("DIR");
  };
  const auto add_days = [&](CLI::App* command, const char* what) {
    command->add_option("--days", options.days, what)->check(CLI::Range(1, 36500));
  };

  CLI::App* init = add("init", "Make an authority: ca.pem, ca.key, crl.pem", troupe::pki_init);
  add_directory(init);
  add_days(init, "Validity (default 3650)");
  init->add_option("--name", options.name, "Its name, for people (default troupe)");
  init->footer("example: troupe pki init pki");

  CLI::App* issue = add("issue", "Issue NAME.pem and NAME.key", troupe::pki_issue);
  add_directory(issue);
  issue->add_option("--role", options.role, "What it may do in a run")
      ->required()
      ->type_name("{director,learner,replay-buffer,broadcaster,generator,verifier,observer}");
  issue
      ->add_option("--name", options.name,
                   "1 to 63 of a-z, 0-9, -; PREFIX-*: one certificate for every generator, "
                   "verifier or observer called PREFIX-something")
      ->required();
  issue
      ->add_option("--host", options.hosts,
                   "DNS name or IP address that it is dialled at; repeat for more")
      ->allow_extra_args(false);
  add_days(issue, "Validity (default 90, or what is left of the authority)");
  issue->footer("example: troupe pki issue pki --role director --name director --host 10.0.0.1");

  CLI::App* show =
      add("show", "Role, name, hosts, validity and state of certificates", troupe::pki_show);
  show->add_option("path", options.paths, "Directories of authorities, certificates")
      ->required()
      ->type_name("FILE");
  show->add_flag("--json", options.json, "As a JSON array");
  show->footer("example: troupe pki show pki --json");

  CLI::App* renew = add("renew", "New keys and certificates for the same names", troupe::pki_renew);
  add_directory(renew);
  renew->add_option("name", options.names, "Names (default: all that end within 30 days)");
  renew->add_option("--within", options.within, "Only those that end within so many days")
      ->check(CLI::Range(0, 36500));
  renew->footer("example: troupe pki renew pki --within 30");

  CLI::App* revoke =
      add("revoke", "Refuse every certificate that a name has had", troupe::pki_revoke);
  add_directory(revoke);
  revoke->add_option("name", options.name, "Name")->required();
  revoke->footer("example: troupe pki revoke pki gen-0");
}

void add_serve_command(CLI::App& app, troupe::ServeOptions& options, int& code) {
  CLI::App& command =
      *app.add_subcommand("serve", "Run a role of a config in this process, joined over links");
  add_config_options(command, options.config, options.overrides);
  command
      .add_option(
          "--role", options.roles,
          "generator, verifier, broadcaster (network.broadcaster), learner (network.learner), "
          "replay-buffer (network.replay-buffer), or director (with all that is not elsewhere); "
          "several in one process: --role generator,verifier")
      ->required()
      ->delimiter(',');
  command.add_option(
      "--name", options.name,
      "Name in the run and of the certificate (default: role and host); of several roles "
      "each is called ROLE-NAME");
  command.add_option("--director", options.director,
                     "host:port to dial or to listen on (network.director), unless the config has "
                     "network.replay-buffer");
  command.add_option("--pki", options.pki, "Folder of the certificates (network.pki)")
      ->type_name("DIR");
  command.add_option("--out", options.out, "Folder for this process's files (run.out)")
      ->type_name("DIR");
  command.add_option("--threads", options.threads, "Compute threads, 0: all cores (run.threads)");
  command
      .add_option("--ready-file", options.ready_file,
                  "director, replay-buffer: written as JSON with address and run directory once it "
                  "can be dialled")
      ->type_name("FILE");
  command
      .add_option("--run-directory", options.run_directory,
                  "director: a folder that is there, instead of a new one under run.out")
      ->type_name("DIR");
  command
      .add_option("--metrics-file", options.metrics_file,
                  "Serve metrics, at a free port if metrics.port is 0, and write host:port there")
      ->type_name("FILE");
  add_progress_options(command, options.plain, options.quiet, options.json_progress);
  command.add_flag("--trace", options.trace, "director: also write trace.json for Perfetto");
  command.add_flag("--linger", options.linger,
                   "director: when the run is done, go on with its metrics until a signal comes");
  command.add_flag(
      "--leave-run", options.leave_run,
      "director, with network.replay-buffer: SIGTERM ends this process and not the run, which "
      "another director leads on");
  command.footer(
      "example: troupe serve deploy/config/r1-zero-addition.toml --role generator --name gen-0 "
      "--pki pki --director "
      "train-0:7420");
  command.callback([&] {
    const auto set = [&](const char* key, const std::string& value, const char* quote) {
      if (!value.empty())
        options.overrides.push_back(std::string(key) + "=" + quote + value + quote);
    };
    set("network.director", options.director, "\"");
    set("network.pki", options.pki, "\"");
    set("run.out", options.out, "\"");
    set("run.threads", options.threads, "");
    code = troupe::serve(options);
  });
}

void add_status_command(CLI::App& app, troupe::StatusOptions& options, int& code) {
  CLI::App& command =
      *app.add_subcommand("status", "Who is there: roles, versions, lag, throughput, links");
  command.add_option("address", options.address, "host:port of the director's process")->required();
  command.add_option("--pki", options.pki, "Folder of the certificates, with one of role observer")
      ->type_name("DIR");
  command.add_option("--name", options.name, "Name of that certificate");
  command.add_option("--timeout", options.seconds, "Seconds to wait for an answer")
      ->check(CLI::Range(0.1, 3600.0));
  command.add_flag("--insecure", options.insecure, "Plain TCP, loopback only");
  command.add_flag("--no-revocation-list", options.no_revocation_list,
                   "There is no crl.pem, as in a config with network.revocation-list = false");
  command.add_flag("--json", options.json, "All fields as JSON");
  command.footer("example: troupe status 127.0.0.1:7420 --pki pki");
  command.callback([&] { code = troupe::status(options); });
}

void add_dashboard_command(CLI::App& app, troupe::DashboardOptions& options, int& code) {
  CLI::App& command = *app.add_subcommand(
      "dashboard", "Show a run directory in the browser, during the run or after");
  command.add_option("run", options.run_directory, "Run directory, e.g. runs/r1-zero-addition")
      ->required();
  command.add_option("--port", options.port, "TCP port; 0: any free one (default)")
      ->check(CLI::Range(0, 65535));
  command.add_option("--address", options.address, "IP address to listen on (default 127.0.0.1)");
  command.footer("example: troupe dashboard runs/r1-zero-addition --port 9191");
  command.callback([&] { code = troupe::dashboard(options); });
}

void add_up_command(CLI::App& app, troupe::UpOptions& options, int& code) {
  CLI::App& command = *app.add_subcommand("up", "Run a config as local processes over mutual TLS");
  add_config_options(command, options.config, options.overrides);
  const auto set = [&](const char* flag, const std::string& key, const char* what,
                       const char* quote = "") {
    command.add_option_function<std::string>(
        flag,
        [&options, key, quote](const std::string& value) {
          options.overrides.push_back(key + "=" + quote + value + quote);
        },
        std::string(what) + " (" + key + ")");
  };
  set("--generators", "generator.count", "Processes that generate");
  set("--verifiers", "verifier.count", "Processes that verify");
  set("--out", "run.out", "Folder for run directories", "\"");
  set("--seed", "run.seed", "Seed of everything random");
  set("--threads", "run.threads", "Compute threads of all processes together, 0: all cores");
  add_progress_options(command, options.plain, options.quiet, options.json_progress);
  command.add_flag("--trace", options.trace, "Also write the director's trace.json for Perfetto");
  command.footer("example: troupe up deploy/config/r1-zero-addition.toml --generators 2");
  command.callback([&] { code = troupe::up(options); });
}

void add_scale_command(CLI::App& app, troupe::ScaleOptions& options, int& code) {
  CLI::App& command = *app.add_subcommand("scale", "Add or remove processes of a run of troupe up");
  command.option_defaults()->always_capture_default(false);
  command.add_option("run", options.run_directory, "Its run directory")
      ->required()
      ->type_name("DIR");
  command.add_option("--generators", options.generators, "How many there shall be")
      ->check(CLI::Range(1, 1000));
  command.add_option("--verifiers", options.verifiers, "How many there shall be")
      ->check(CLI::Range(1, 1000));
  command.footer("example: troupe scale runs/r1-zero-addition --generators 3");
  command.callback([&] { code = troupe::scale(options); });
}

/// Keys of all sections that a config has once, as --set takes them.
std::vector<std::string> config_keys() {
  std::vector<std::string> keys;
  for (const troupe::config::Section& section : troupe::config::sections())
    if (&section != &troupe::config::stage_section())
      for (const std::string& key : section.key_names()) keys.push_back(section.name + "." + key);
  return keys;
}

void add_commands_about_commands(CLI::App& app, std::string& shell, int& code) {
  CLI::App& completion =
      *app.add_subcommand("completion", "Print a script that completes troupe's command line");
  completion.add_option("shell", shell, "Which shell it is for")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion.footer("example: source <(troupe completion bash)");
  completion.callback([&app, &shell, &code] {
    std::cout << troupe::completion_script(troupe::command_words(app), config_keys(), shell);
    code = std::cout.flush() ? troupe::exit_ok : troupe::exit_failed;
  });
  CLI::App& manual = *app.add_subcommand("manual", "Print the manual page");
  manual.footer("example: troupe manual | man -l -");
  manual.callback([&app, &code] {
    std::cout << troupe::manual_page(troupe::command_words(app), "troupe " TROUPE_VERSION);
    code = std::cout.flush() ? troupe::exit_ok : troupe::exit_failed;
  });
}

}  // namespace

int main(int argc, char** argv) {
  using namespace troupe;
  CLI::App app("Troupe trains language models by asynchronous reinforcement learning.", "troupe");
  app.require_subcommand(1);
  app.set_version_flag("--version", "troupe " TROUPE_VERSION);
  app.option_defaults()->always_capture_default();
  app.footer(kFooter);
  int code = exit_ok;

  TrainOptions training;
  std::string config, out;
  std::vector<std::string> overrides;
  std::string seed, threads;
  CLI::App* train_command = app.add_subcommand("train", "Run the stages of a config");
  add_config_options(*train_command, config, overrides);
  train_command->add_option("--out", out, "Folder for run directories (run.out)")->type_name("DIR");
  train_command->add_option("--seed", seed, "Seed of everything random (run.seed)");
  train_command->add_option("--threads", threads, "Compute threads, 0: all cores (run.threads)");
  train_command->add_flag("--trace", training.trace, "Also write trace.json for Perfetto");
  add_progress_options(*train_command, training.plain, training.quiet, training.json_progress);
  train_command->footer(
      "example: troupe train deploy/config/r1-zero-addition.toml --seed 1 --set "
      "replay-buffer.staleness-bound=1");
  train_command->callback([&] {
    training.config = config;
    training.overrides = overrides;
    if (!out.empty()) training.overrides.push_back("run.out=\"" + out + "\"");
    if (!seed.empty()) training.overrides.push_back("run.seed=" + seed);
    if (!threads.empty()) training.overrides.push_back("run.threads=" + threads);
    code = train(training);
  });

  EvalOptions evaluation;
  CLI::App* eval_command =
      app.add_subcommand("eval", "Pass rates of a model directory on held-out prompts");
  eval_command->add_option("model", evaluation.model, "Model directory (Hugging Face layout)")
      ->required()
      ->type_name("DIR");
  eval_command->add_option("--data", evaluation.data, "JSONL file with prompt and answer")
      ->type_name("FILE");
  eval_command->add_option("--digits", evaluation.digits, "Built-in addition: numbers of digits")
      ->delimiter(',');
  eval_command->add_option("--prompts", evaluation.prompts, "Built-in addition: held-out prompts")
      ->check(CLI::Range(1, 1000000));
  eval_command->add_option("--max-new-tokens", evaluation.max_new_tokens, "Length limit")
      ->check(CLI::Range(1, 1000000));
  eval_command->add_option("--seed", evaluation.seed, "Which held-out prompts, and the sampling")
      ->check(CLI::Range(0.0, 9e18));
  eval_command->add_option("--threads", evaluation.threads, "Compute threads")
      ->check(CLI::Range(1, 1024));
  eval_command->add_option("--device", evaluation.device, "auto, cpu or cuda:N");
  eval_command->add_flag("--json", evaluation.json, "Figures as JSON, names as in summary.json");
  eval_command->footer("example: troupe eval runs/r1-zero-addition/model --json");
  eval_command->callback([&] { code = evaluate_model(evaluation); });

  SampleOptions sampling;
  CLI::App* sample_command = app.add_subcommand("sample", "Sample completions of prompts");
  sample_command->add_option("model", sampling.model, "Model directory")
      ->required()
      ->type_name("DIR");
  sample_command->add_option("prompts", sampling.prompts, "Prompts")->required();
  sample_command->add_option("-n,--count", sampling.count, "Completions per prompt")
      ->check(CLI::Range(1, 100000));
  sample_command->add_option("--temperature", sampling.temperature, "0: greedy")
      ->check(CLI::Range(0.0, 100.0));
  sample_command->add_option("--top-k", sampling.top_k, "0: all")->check(CLI::Range(0, 1 << 30));
  sample_command->add_option("--top-p", sampling.top_p, "1: all")->check(CLI::Range(1e-6, 1.0));
  sample_command->add_option("--max-new-tokens", sampling.max_new_tokens, "Length limit")
      ->check(CLI::Range(1, 1000000));
  sample_command->add_option("--seed", sampling.seed, "Seed")->check(CLI::Range(0.0, 9e18));
  sample_command->add_option("--device", sampling.device, "auto, cpu or cuda:N");
  sample_command->add_flag("--json", sampling.json,
                           "One JSON object per completion, with log-probs");
  sample_command->footer("example: troupe sample runs/r1-zero-addition/model 478+365= -n 3");
  sample_command->callback([&] { code = sample(sampling); });

  DataOptions data;
  CLI::App* data_command = app.add_subcommand("data", "Write prompts of a built-in task as JSONL");
  data_command->require_subcommand(1);
  CLI::App* addition = data_command->add_subcommand("addition", "Sums with zero-padded operands");
  addition->add_option("file", data.file, "The JSONL file to write; one that is there is replaced")
      ->required()
      ->type_name("FILE");
  addition->add_option("--digits", data.digits, "Numbers of digits, e.g. 2,3")
      ->delimiter(',')
      ->check(CLI::Range(1, 18));
  addition->add_option("--count", data.count, "Rows")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100000000}));
  addition->add_option("--seed", data.seed,
                       "run.seed of the run that the prompts are for (default 0); with --held-out "
                       "its evaluation.seed (default 99)");
  addition->add_flag("--held-out", data.held_out, "Held-out problems instead of training prompts");
  addition->footer(
      "example: troupe data addition prompts.jsonl --digits 2,3 --count 1600 --seed 0");
  addition->callback([&] { code = write_data(data); });

  bool check_json = false;
  std::string check_config;
  std::vector<std::string> check_overrides;
  CLI::App* check_command = app.add_subcommand("check", "Check a config and print it in full");
  add_config_options(*check_command, check_config, check_overrides);
  check_command->add_flag(
      "--json", check_json,
      "Resolved config as JSON, or the problems: [{file, line, column, key, message, remedy}]");
  check_command->footer(
      "example: troupe check deploy/config/r1-zero-addition.toml --set learner.clip-high=0.3");
  check_command->callback([&] { code = check(check_config, check_overrides, check_json); });

  ReportOptions reporting;
  CLI::App* report_command = app.add_subcommand("report", "Figures of runs side by side");
  report_command->add_option("runs", reporting.runs, "Run directories")
      ->required()
      ->type_name("DIR");
  report_command->add_option("--html", reporting.html, "Also write a page with the curves of all")
      ->type_name("FILE");
  report_command->add_flag("--json", reporting.json, "As JSON");
  report_command->footer("example: troupe report runs/demo runs/demo-2 --html compared.html");
  report_command->callback([&] { code = report(reporting); });

  ServeOptions serving;
  add_serve_command(app, serving, code);
  UpOptions company;
  add_up_command(app, company, code);
  ScaleOptions scaling;
  add_scale_command(app, scaling, code);
  StatusOptions asking;
  add_status_command(app, asking, code);
  DashboardOptions looking;
  add_dashboard_command(app, looking, code);
  PkiOptions pki;
  add_pki_command(app, pki, code);

  bool metrics_json = false;
  CLI::App* metrics_command =
      app.add_subcommand("metrics", "Every metric: name, type, unit, what it says");
  metrics_command->add_flag("--json", metrics_json,
                            "As a JSON array: [{name, kind, unit, labels, roles, help}]");
  metrics_command->footer("example: troupe metrics --json");
  metrics_command->callback([&] { code = list_metrics(metrics_json); });

  CLI::App* version_command = app.add_subcommand("version", "Version, libraries and devices found");
  version_command->callback([&] { code = version(); });

  std::string shell;
  add_commands_about_commands(app, shell, code);

  const std::vector<std::string> commands = command_words(app).front().commands;
  if (argc == 1) {  // somebody who wants to know what there is
    std::cerr << app.help();
    return exit_bad_input;
  }
  if (unknown_command(argv[1], commands)) return exit_bad_input;
  if (argc > 2 && argv[1] == std::string("pki") &&
      unknown_command(argv[2], {"init", "issue", "show", "renew", "revoke"}))
    return exit_bad_input;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int parse_code = app.exit(error);
    return parse_code == 0 ? exit_ok : exit_bad_input;
  } catch (const std::exception& error) {
    std::cerr << "troupe: " << error.what() << "\n";
    return exit_bad_input;
  }
  return code;
}
