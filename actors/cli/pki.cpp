#include "actors/cli/commands.hpp"
#include "actors/config/suggest.hpp"
#include "messages/pki/authority.hpp"
#include "messages/pki/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

namespace troupe {
namespace {

using std::chrono::days;

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const auto close = config::nearest(word, candidates);
  return close ? "; did you mean " + *close + "?" : "";
}

std::string joined(const std::vector<std::string>& words, const char* separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

void warn_of_exposed_files(const std::filesystem::path& directory) {
  for (const std::string& warning : pki::exposed_files(directory))
    std::cerr << "warning: " << warning << "\n";
}

pki::Authority opened(const PkiOptions& options) {
  pki::Authority authority = pki::Authority::open(options.directory);
  warn_of_exposed_files(options.directory);
  return authority;
}

pki::Role role_of(const std::string& text) {
  if (const auto role = pki::parse_role(text)) return *role;
  const std::vector<std::string> names = pki::role_names();
  const std::string guess = did_you_mean(text, names);
  throw pki::Error("role " + text + " is unknown" +
                   (guess.empty() ? "; the roles are " + joined(names, ", ") : guess));
}

void require_issued(const pki::Authority& authority, const std::string& name) {
  const std::vector<std::string> names = authority.names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  const std::string guess = did_you_mean(name, names);
  throw pki::Error(authority.directory(),
                   "nothing was issued to " + name +
                       (guess.empty() ? "; troupe pki show " + authority.directory().string() +
                                            " lists the names"
                                      : guess));
}

void print_issued(const pki::LeafFiles& files, const char* verb) {
  const pki::Certificate leaf = pki::inspect_file(files.certificate, pki::wall_clock()).certificate;
  std::cout << fmt::format("{} {} for {} {}, until {}; its key is {}\n", verb,
                           files.certificate.string(), pki::role_name(leaf.identity->role),
                           leaf.identity->name, pki::format_time(leaf.not_after),
                           files.key.string());
}

std::string owner(const pki::Certificate& certificate) {
  if (certificate.authority) return "authority";
  return certificate.identity ? std::string(pki::role_name(certificate.identity->role)) : "no role";
}

std::string name_of(const pki::Certificate& certificate) {
  return certificate.identity ? certificate.identity->name : certificate.subject;
}

nlohmann::json json_of(const pki::Inspection& inspection, pki::Time now) {
  const pki::Certificate& certificate = inspection.certificate;
  nlohmann::json json = {{"file", inspection.file.string()},
                         {"authority", certificate.authority},
                         {"role", nullptr},
                         {"name", name_of(certificate)},
                         {"hosts", certificate.hosts},
                         {"serial", certificate.serial},
                         {"fingerprint_sha256", certificate.fingerprint},
                         {"not_before", pki::format_time(certificate.not_before)},
                         {"not_after", pki::format_time(certificate.not_after)},
                         {"days_left", pki::days_left(certificate.not_after, now)},
                         {"revoked", inspection.state == pki::State::revoked},
                         {"state", pki::state_name(inspection.state)},
                         {"problem", nullptr}};
  if (certificate.identity) json["role"] = pki::role_name(certificate.identity->role);
  if (!inspection.problem.empty()) json["problem"] = inspection.problem;
  return json;
}

std::string block_of(const pki::Inspection& inspection, pki::Time now) {
  const pki::Certificate& certificate = inspection.certificate;
  return fmt::format(
      "{}\n"
      "  {:<13}{}\n"
      "  hosts        {}\n"
      "  valid        {} to {}, {} days left\n"
      "  state        {}\n"
      "  serial       {}\n"
      "  SHA-256      {}\n",
      inspection.file.string(), owner(certificate), name_of(certificate),
      certificate.hosts.empty() ? "none" : joined(certificate.hosts, ", "),
      pki::format_time(certificate.not_before), pki::format_time(certificate.not_after),
      pki::days_left(certificate.not_after, now), pki::state_name(inspection.state),
      certificate.serial, certificate.fingerprint);
}

void print_table(const std::vector<pki::Inspection>& all, pki::Time now) {
  constexpr const char* kRow = "{:<14}{:<24}{:<14}{:>9}  {:<34}{}\n";
  std::cout << fmt::format(kRow, "role", "name", "state", "days left", "serial", "hosts");
  for (const pki::Inspection& inspection : all) {
    const pki::Certificate& certificate = inspection.certificate;
    std::cout << fmt::format(kRow, owner(certificate), name_of(certificate),
                             pki::state_name(inspection.state),
                             pki::days_left(certificate.not_after, now), certificate.serial,
                             joined(certificate.hosts, ","));
  }
}

}  // namespace

int pki_init(const PkiOptions& options) {
  pki::AuthorityOptions authority;
  if (options.days) authority.lifetime = days(*options.days);
  if (!options.name.empty()) authority.name = options.name;
  pki::Authority::create(options.directory, authority);
  warn_of_exposed_files(options.directory);
  std::cout << fmt::format(
      "made an authority in {0}\n"
      "ca.pem and crl.pem go to every host; ca.key stays here: whoever has it can join as anyone\n",
      options.directory.string());
  return exit_ok;
}

int pki_issue(const PkiOptions& options) {
  pki::LeafRequest request{role_of(options.role), options.name, options.hosts, {}};
  if (options.days) request.lifetime = days(*options.days);
  print_issued(opened(options).issue(request), "issued");
  return exit_ok;
}

int pki_renew(const PkiOptions& options) {
  pki::Authority authority = opened(options);
  for (const std::string& name : options.names) require_issued(authority, name);
  std::vector<std::string> names = options.names;
  if (names.empty() || options.within) {
    const auto due = authority.due(days(options.within.value_or(kRenewWithinDays)));
    if (names.empty()) names = due;
    std::erase_if(names, [&](const std::string& name) {
      return std::find(due.begin(), due.end(), name) == due.end();
    });
  }
  for (const std::string& name : names) print_issued(authority.renew(name), "renewed");
  if (names.empty()) std::cout << "nothing is due\n";
  return exit_ok;
}

int pki_revoke(const PkiOptions& options) {
  pki::Authority authority = opened(options);
  require_issued(authority, options.name);
  const std::size_t count = authority.revoke(options.name);
  std::cout << fmt::format("revoked {} certificate{} of {}; copy {} to every host\n", count,
                           count == 1 ? "" : "s", options.name,
                           authority.files_of(options.name).revoked.string());
  return exit_ok;
}

int pki_show(const PkiOptions& options) {
  const pki::Time now = pki::wall_clock();
  nlohmann::json json = nlohmann::json::array();
  std::set<std::filesystem::path> directories;
  for (const std::filesystem::path& path : options.paths) {
    const bool directory = std::filesystem::is_directory(path);
    const auto all = directory ? pki::Authority::open(path).inspect_all()
                               : std::vector<pki::Inspection>{pki::inspect_file(path, now)};
    directories.insert(directory ? path : path.parent_path());
    for (const pki::Inspection& inspection : all)
      if (!inspection.problem.empty()) std::cerr << "warning: " << inspection.problem << "\n";
    if (options.json)
      for (const pki::Inspection& inspection : all) json.push_back(json_of(inspection, now));
    else if (directory)
      print_table(all, now);
    else
      std::cout << block_of(all.front(), now);
  }
  for (const std::filesystem::path& directory : directories) warn_of_exposed_files(directory);
  if (options.json) std::cout << json.dump(1) << "\n";
  return exit_ok;
}

}  // namespace troupe
