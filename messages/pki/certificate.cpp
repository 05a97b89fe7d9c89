#include "messages/pki/certificate.hpp"

#include <arpa/inet.h>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace troupe::pki {
namespace {

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) result += c >= 0x20 && c < 0x7f ? c : '?';
  return result;
}

std::string_view text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(ASN1_STRING_length(string))};
}

std::string hex(const unsigned char* bytes, std::size_t size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

Time time_of(const ASN1_TIME* time) {
  std::tm broken_down = {};
  require(ASN1_TIME_to_tm(time, &broken_down) == 1, "reading the validity of a certificate");
  return Time(std::chrono::seconds(::timegm(&broken_down)));
}

std::string common_name(const X509& certificate) {
  const X509_NAME* name = X509_get_subject_name(&certificate);
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  return printable(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index))));
}

std::string address_text(const ASN1_STRING* address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int family = ASN1_STRING_length(address) == 4    ? AF_INET
                     : ASN1_STRING_length(address) == 16 ? AF_INET6
                                                         : AF_UNSPEC;
  if (!::inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text)) return "?";
  return text;
}

void read_names(const X509& certificate, Certificate& result) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  int uris = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind));
    if (kind == GEN_DNS) result.hosts.push_back(printable(text_of(value)));
    if (kind == GEN_IPADD) result.hosts.push_back(address_text(value));
    if (kind == GEN_URI && ++uris == 1) result.identity = parse_uri(text_of(value));
  }
  if (uris != 1) result.identity.reset();
}

std::string serial_of(const X509& certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(&certificate);
  return hex(ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial)));
}

}  // namespace

Time wall_clock() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

Certificate describe(const X509& certificate) {
  const ErrorQueue queue;
  Certificate result;
  // Caches extensions inside, hence not const in OpenSSL.
  result.authority = X509_check_ca(const_cast<X509*>(&certificate)) == 1;
  result.subject = common_name(certificate);
  read_names(certificate, result);
  if (result.authority) result.identity.reset();
  result.serial = serial_of(certificate);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  require(X509_digest(&certificate, EVP_sha256(), digest, &size) == 1, "digesting a certificate");
  result.fingerprint = hex(digest, size);
  result.not_before = time_of(X509_get0_notBefore(&certificate));
  result.not_after = time_of(X509_get0_notAfter(&certificate));
  return result;
}

std::int64_t days_left(Time until, Time now) {
  return std::chrono::floor<std::chrono::days>(until - now).count();
}

std::string format_time(Time time) {
  const std::time_t seconds = time.time_since_epoch().count();
  std::tm broken_down = {};
  ::gmtime_r(&seconds, &broken_down);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return text;
}

std::optional<Time> parse_time(const std::string& text) {
  std::tm broken_down = {};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  if (!end || *end != '\0') return {};
  return Time(std::chrono::seconds(::timegm(&broken_down)));
}

}  // namespace troupe::pki
