#include "messages/pki/authority.hpp"

#include "messages/pki/error.hpp"
#include "messages/pki/files.hpp"
#include "messages/pki/hosts.hpp"
#include "messages/pki/signer.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>

namespace troupe::pki {
namespace {

constexpr const char* kCertificate = "ca.pem";
constexpr const char* kKey = "ca.key";
constexpr const char* kRevoked = "crl.pem";
constexpr const char* kIndex = "index.json";

bool is_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(file, ignored));
}

void make_directory(std::filesystem::path directory) {
  if (!directory.has_filename()) directory = directory.parent_path();  // "pki/"
  std::error_code error, ignored;
  if (directory.has_parent_path())
    std::filesystem::create_directories(directory.parent_path(), error);
  if (!error && ::mkdir(directory.c_str(), kPrivateDirectory) != 0) {
    const int code = errno;
    if (!std::filesystem::is_directory(directory, ignored))
      error = std::error_code(code, std::generic_category());
  }
  if (error)
    throw Error(directory, "cannot be made: " + error.message() + "; choose another directory");
}

}  // namespace

struct Authority::Signer {
  X509Ptr certificate;
  KeyPtr key;
  Time not_after;

  Issuer issuer() const { return {*certificate, *key}; }
};

Authority::Authority(std::filesystem::path directory, Clock clock)
    : directory_(std::move(directory)), clock_(std::move(clock)) {}

Authority Authority::create(const std::filesystem::path& directory, const AuthorityOptions& options,
                            Clock clock) {
  require_valid(options);
  make_directory(directory);
  Authority authority(directory, std::move(clock));
  const DirectoryLock lock(directory);
  for (const char* name : {kKey, kCertificate, kIndex})
    if (is_there(authority.file(name)))
      throw Error(
          authority.file(name),
          "is here already and stays as it is; choose another directory, or remove it if an "
          "init was cut off");
  const Time now = authority.clock_();
  const Validity validity{now - kClockTolerance, now + options.lifetime};
  Signer signer{nullptr, make_key(), validity.not_after};
  signer.certificate =
      make_authority_certificate(options.name, *signer.key, new_serial(), validity);
  Registry registry;
  authority.write_revocations(registry, signer);
  write_key(authority.file(kKey), *signer.key);
  write_x509(authority.file(kCertificate), *signer.certificate);
  return authority;
}

Authority Authority::open(const std::filesystem::path& directory, Clock clock) {
  Authority authority(directory, std::move(clock));
  if (!is_there(authority.file(kCertificate)))
    throw Error(directory,
                std::string(is_there(directory) ? "holds no authority" : "does not exist") +
                    "; make one with troupe pki init " + directory.string());
  return authority;
}

Authority::Signer Authority::load_signer() const {
  const ErrorQueue queue;
  if (!is_there(file(kKey)))
    throw Error(file(kKey), "is missing; put the authority's key back to issue, renew or revoke");
  Signer signer{read_x509(file(kCertificate)), read_key(file(kKey)), {}};
  const Certificate certificate = describe(*signer.certificate);
  if (!certificate.authority)
    throw Error(file(kCertificate), "is not an authority's certificate; restore it from a backup");
  if (X509_check_private_key(signer.certificate.get(), signer.key.get()) != 1)
    throw Error(file(kKey), "is not the key of " + file(kCertificate).string() +
                                "; restore both from one backup");
  signer.not_after = certificate.not_after;
  if (signer.not_after <= clock_())
    throw Error(file(kCertificate), "expired on " + format_time(signer.not_after) +
                                        "; make a new authority in another directory with troupe "
                                        "pki init and issue every certificate again");
  return signer;
}

LeafFiles Authority::issue(const LeafRequest& request) {
  require_valid(request);
  Record record;
  record.identity = {request.role, request.name};
  record.hosts = normal_hosts(request.hosts);
  record.lifetime = request.lifetime.value_or(kLeafLifetime);
  const DirectoryLock lock(directory_);
  const Signer signer = load_signer();
  record.not_after = clock_() + record.lifetime;
  if (request.lifetime && record.not_after > signer.not_after)
    throw Error(file(kCertificate), "ends on " + format_time(signer.not_after) +
                                        ", before the certificate would; give fewer days");
  record.not_after = std::min(record.not_after, signer.not_after);
  Registry registry = read_registry(file(kIndex));
  require_free(registry, request.name);
  return issue_locked(registry, signer, std::move(record));
}

void Authority::require_free(const Registry& registry, const std::string& name) const {
  const Record* before = registry.newest(name);
  const LeafFiles files = files_of(name);
  if (before && !before->revoked)
    throw Error(files.certificate, name + " was issued, until " + format_time(before->not_after) +
                                       "; troupe pki renew " + directory_.string() + " " + name +
                                       " replaces it, or revoke it first");
  for (const auto& taken : {files.key, files.certificate})
    if (!before && is_there(taken))
      throw Error(taken, "is here, but not from this authority; move it away");
  if (const Record* other = registry.in_the_way_of(name, clock_()))
    throw Error(
        "name " + name + ": " + other->identity.name +
        " is issued, and a holder of the pool could pose as the other; choose a name outside "
        "of it");
}

LeafFiles Authority::renew(const std::string& name) {
  const DirectoryLock lock(directory_);
  const Signer signer = load_signer();
  Registry registry = read_registry(file(kIndex));
  const Record* before = registry.newest(name);
  if (!before) throw Error(directory_, "nothing was issued to " + name + "; see troupe pki show");
  if (before->revoked)
    throw Error(files_of(name).certificate,
                name + " is revoked and is not renewed; issue it again with troupe pki issue");
  Record record = *before;
  record.not_after = std::min<Time>(clock_() + record.lifetime, signer.not_after);
  return issue_locked(registry, signer, std::move(record));
}

LeafFiles Authority::issue_locked(Registry& registry, const Signer& signer, Record record) {
  const KeyPtr key = make_key();
  do record.serial = new_serial();
  while (registry.has_serial(record.serial));
  record.not_before = clock_() - kClockTolerance;
  const X509Ptr leaf = sign_leaf(signer.issuer(), record.identity, record.hosts, *key,
                                 record.serial, {record.not_before, record.not_after});
  record.fingerprint = describe(*leaf).fingerprint;
  LeafFiles files = files_of(record.identity.name);
  registry.records.push_back(std::move(record));
  write_revocations(registry, signer);
  write_key(files.key, *key);
  write_x509(files.certificate, *leaf);
  return files;
}

void Authority::write_revocations(Registry& registry, const Signer& signer) const {
  ++registry.crl_number;
  std::vector<Revocation> revoked;
  for (const Record& record : registry.records)
    if (record.revoked) revoked.push_back({record.serial, *record.revoked});
  const CrlPtr list = sign_revocation_list(signer.issuer(), registry.crl_number, revoked,
                                           clock_() - kClockTolerance);
  write_registry(file(kIndex), registry);
  write_crl(file(kRevoked), *list);
}

std::size_t Authority::revoke(const std::string& name) {
  const DirectoryLock lock(directory_);
  const Signer signer = load_signer();
  Registry registry = read_registry(file(kIndex));
  if (!registry.newest(name))
    throw Error(directory_, "nothing was issued to " + name + "; see troupe pki show");
  std::size_t changed = 0;
  for (Record& record : registry.records) {
    if (record.identity.name != name || record.revoked) continue;
    record.revoked = clock_();
    ++changed;
  }
  write_revocations(registry, signer);
  return changed;
}

std::vector<std::string> Authority::due(std::chrono::days within) const {
  const Registry registry = read_registry(file(kIndex));
  std::vector<std::string> names;
  for (const Record* record : registry.current())
    if (!record->revoked && record->not_after - clock_() <= within)
      names.push_back(record->identity.name);
  return names;
}

std::vector<Inspection> Authority::inspect_all() const {
  const Registry registry = read_registry(file(kIndex));
  std::vector<Inspection> all = {inspect_file(file(kCertificate), clock_())};
  for (const Record* record : registry.current()) all.push_back(inspect_record(*record));
  return all;
}

Inspection Authority::inspect_record(const Record& record) const {
  const std::filesystem::path leaf = files_of(record.identity.name).certificate;
  Inspection result;
  try {
    result = inspect_file(leaf, clock_());
    if (result.certificate.serial == record.serial) return result;
    result.problem = leaf.string() + ": is not the newest one issued to " + record.identity.name;
  } catch (const Error& error) {
    result.problem = error.what();
  }
  result.problem = record.revoked
                       ? leaf.string() + ": is revoked; issue a new one with troupe pki issue"
                       : result.problem + "; troupe pki renew " + directory_.string() + " " +
                             record.identity.name + " makes a new one";
  result.file = leaf;
  result.state = record.revoked ? State::revoked : State::unusable;
  result.certificate = {record.identity,   false,           record.identity.name,
                        record.hosts,      record.serial,   record.fingerprint,
                        record.not_before, record.not_after};
  return result;
}

std::vector<std::string> Authority::names() const {
  const Registry registry = read_registry(file(kIndex));
  std::vector<std::string> names;
  for (const Record* record : registry.current()) names.push_back(record->identity.name);
  return names;
}

LeafFiles Authority::files_of(const std::string& name) const {
  const std::string stem = file_stem(name);
  return {directory_ / (stem + ".pem"), directory_ / (stem + ".key"), file(kCertificate),
          file(kRevoked)};
}

}  // namespace troupe::pki
