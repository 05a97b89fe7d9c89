#include "messages/pki/inspect.hpp"

#include "messages/pki/error.hpp"
#include "messages/pki/files.hpp"

#include <algorithm>

namespace troupe::pki {
namespace {

struct Verdict {
  State state = State::good;
  std::string problem;
};

bool signed_by(X509& leaf, X509& authority) {
  return X509_verify(&leaf, X509_get0_pubkey(&authority)) == 1;
}

Verdict check_times(const Certificate& certificate, Time now) {
  if (certificate.not_after <= now)
    return {State::expired,
            "expired on " + format_time(certificate.not_after) +
                (certificate.authority ? "; make a new authority and issue every certificate again"
                                       : "; renew it with troupe pki renew")};
  if (certificate.not_before > now)
    return {State::not_yet_valid, "is not valid before " + format_time(certificate.not_before) +
                                      "; set the clock of this host, which says " +
                                      format_time(now)};
  return {};
}

Verdict check_key(X509& leaf, const std::filesystem::path& file) {
  const KeyPtr key = read_key(file);
  if (X509_check_private_key(&leaf, key.get()) == 1) return {};
  return {State::unusable, "does not belong to the key " + file.string() +
                               "; take both from one directory, or renew it"};
}

Verdict check_authority(X509& leaf, const std::filesystem::path& file, Time now) {
  const X509Ptr authority = read_x509(file);
  if (!describe(*authority).authority)
    return {State::unusable,
            "cannot be checked: " + file.string() + " is no authority's; use ca.pem"};
  if (!signed_by(leaf, *authority))
    return {State::unusable, "is signed by another authority than " + file.string() +
                                 "; use the ca.pem of the directory that issued it"};
  const Verdict validity = check_times(describe(*authority), now);
  if (validity.state == State::good) return {};
  return {State::unusable, "is signed by " + file.string() + ", which " + validity.problem};
}

Verdict check_revocation(X509& leaf, const LeafFiles& files) {
  const CrlPtr list = read_crl(files.revoked);
  if (!files.authority.empty() &&
      X509_CRL_verify(list.get(), X509_get0_pubkey(read_x509(files.authority).get())) != 1)
    return {State::unusable, "cannot be checked: " + files.revoked.string() + " is not signed by " +
                                 files.authority.string() + "; take both from one directory"};
  X509_REVOKED* entry = nullptr;
  if (X509_CRL_get0_by_cert(list.get(), &entry, &leaf) == 0) return {};
  return {State::revoked, "is revoked; issue a new one with troupe pki issue"};
}

Verdict check(X509& leaf, const Certificate& certificate, const LeafFiles& files, Time now) {
  Verdict verdict;
  if (!files.authority.empty()) verdict = check_authority(leaf, files.authority, now);
  if (verdict.state == State::good && !files.revoked.empty())
    verdict = check_revocation(leaf, files);
  if (verdict.state == State::good) verdict = check_times(certificate, now);
  if (verdict.state == State::good && !files.key.empty()) verdict = check_key(leaf, files.key);
  return verdict;
}

std::filesystem::path if_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(file, ignored) ? file : std::filesystem::path();
}

}  // namespace

std::string_view state_name(State state) {
  switch (state) {
    case State::good:
      return "good";
    case State::not_yet_valid:
      return "not yet valid";
    case State::expired:
      return "expired";
    case State::revoked:
      return "revoked";
    case State::unusable:
      return "unusable";
  }
  throw Error("a state that has no name");
}

Inspection inspect(const LeafFiles& files, Time now) {
  const ErrorQueue queue;
  const X509Ptr leaf = read_x509(files.certificate);
  Inspection result;
  result.file = files.certificate;
  result.certificate = describe(*leaf);
  const Verdict verdict = check(*leaf, result.certificate, files, now);
  result.state = verdict.state;
  if (!verdict.problem.empty())
    result.problem = files.certificate.string() + ": " + verdict.problem;
  return result;
}

Certificate require_usable(const LeafFiles& files, Time now, Revocations revocations) {
  if (files.certificate.empty() || files.key.empty() || files.authority.empty() ||
      (revocations == Revocations::listed && files.revoked.empty()))
    throw Error(
        "a link needs a certificate, its key, the authority's certificate (ca.pem) and its "
        "revocation list (crl.pem)");
  if (revocations == Revocations::none && !files.revoked.empty())
    throw Error(files.revoked,
                "is a revocation list, and none is to be heeded (network.revocation-list = false); "
                "remove the file or the setting");
  Inspection inspection = inspect(files, now);
  if (inspection.state != State::good) throw Error(inspection.problem);
  if (!inspection.certificate.identity)
    throw Error(files.certificate,
                "names no role (troupe://ROLE/NAME); issue one with troupe pki issue");
  return inspection.certificate;
}

Inspection inspect_file(const std::filesystem::path& file, Time now) {
  LeafFiles files;
  files.certificate = file;
  std::filesystem::path key = file;
  files.key = if_there(key.replace_extension(".key"));
  if (!describe(*read_x509(file)).authority) {
    files.authority = if_there(file.parent_path() / "ca.pem");
    files.revoked = if_there(file.parent_path() / "crl.pem");
  }
  return inspect(files, now);
}

std::vector<std::string> exposed_files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> keys;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
    if (entry.path().extension() == ".key" && open_to_others(entry.path()))
      keys.push_back(entry.path());
  std::sort(keys.begin(), keys.end());
  std::vector<std::string> warnings;
  if (open_to_others(directory))
    warnings.push_back(directory.string() + ": others can write to this directory; chmod 700 " +
                       directory.string());
  for (const std::filesystem::path& key : keys)
    warnings.push_back(key.string() + ": others can read this key; chmod 600 " + key.string() +
                       ", and renew it if somebody may have");
  return warnings;
}

}  // namespace troupe::pki
