#pragma once
// Who gets a version from whom when receivers hand it on, so that the publisher's link is not the limit. Plain rules.
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

struct RelayReceiver {
  std::string name, host;       // those of one host share its memory: one of them receives for all
  double bytes_per_second = 0;  // of its link, each way
};

/// A tree of hosts: the publisher sends to `fan_out` of them, each of these to `fan_out` others, and so on. Places are
/// numbered row by row; the fast ones come first. Who joins takes the next free place, and the last one takes the place of
/// who leaves, so that few get another source. A function of the receivers and of the order of joins and leaves.
class RelayTree {
 public:
  /// Errors: throws std::invalid_argument if fan_out is 0 or two receivers have one name.
  RelayTree(std::uint32_t fan_out, std::vector<RelayReceiver> receivers);

  void join(RelayReceiver receiver);
  /// Names of those whose source is another one from then on, at most fan_out + 1 plus those of the host. Errors: throws
  /// std::out_of_range on an unknown name; so do the next three.
  std::vector<std::string> leave(const std::string& name);
  bool contains(const std::string& name) const { return host_of_.contains(name); }
  /// Empty: the publisher.
  std::string source(const std::string& name) const;
  /// Everyone whose source it is; "": the publisher.
  std::vector<std::string> served_by(const std::string& source) const;
  /// Links between the publisher and the receiver's host.
  std::uint32_t depth(const std::string& name) const;

  std::size_t size() const { return host_of_.size(); }
  /// Until everybody holds a version of that size. A version is handed on once it is whole and checked; a link is shared
  /// evenly by those it serves at once; within a host nothing is moved.
  double seconds(std::uint64_t bytes, double publisher_bytes_per_second) const;

 private:
  struct Host {
    std::vector<RelayReceiver> members;  // the first one receives; the others map what it holds
  };
  static constexpr std::size_t kPublisher = ~std::size_t{0};

  std::size_t parent(std::size_t place) const;
  std::pair<std::size_t, std::size_t> children(std::size_t place) const;
  std::size_t place_of(const std::string& name) const;
  std::vector<std::string> vacate(std::size_t place);

  const std::size_t fan_out_;
  std::vector<Host> hosts_;  // by place
  std::map<std::string, std::size_t> place_of_host_;
  std::map<std::string, std::string> host_of_;  // of each receiver
};

}  // namespace troupe
