#include "actors/broadcaster/relay_tree.hpp"

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace troupe {

RelayTree::RelayTree(std::uint32_t fan_out, std::vector<RelayReceiver> receivers)
    : fan_out_(fan_out) {
  if (fan_out == 0) throw std::invalid_argument("a relay hands on to at least one");
  std::sort(receivers.begin(), receivers.end(), [](const RelayReceiver& a, const RelayReceiver& b) {
    return std::tie(b.bytes_per_second, a.name) < std::tie(a.bytes_per_second, b.name);
  });
  for (RelayReceiver& receiver : receivers) join(std::move(receiver));
}

void RelayTree::join(RelayReceiver receiver) {
  if (!host_of_.emplace(receiver.name, receiver.host).second)
    throw std::invalid_argument("two receivers are called " + receiver.name);
  const auto [found, fresh] = place_of_host_.emplace(receiver.host, hosts_.size());
  if (fresh) hosts_.emplace_back();
  hosts_[found->second].members.push_back(std::move(receiver));
}

std::vector<std::string> RelayTree::leave(const std::string& name) {
  const std::size_t place = place_of(name);
  auto& members = hosts_[place].members;
  const bool received = members.front().name == name;
  std::vector<std::string> served = served_by(name);
  std::erase_if(members, [&](const RelayReceiver& member) { return member.name == name; });
  const std::string host = host_of_.extract(name).mapped();
  if (!received) return {};
  if (!members.empty()) return served;  // the next member receives in its stead
  place_of_host_.erase(host);
  return vacate(place);
}

/// The last host takes the empty place.
std::vector<std::string> RelayTree::vacate(std::size_t place) {
  const std::size_t last = hosts_.size() - 1;
  std::vector<std::string> moved;
  if (place != last) {
    hosts_[place] = std::move(hosts_[last]);
    const RelayReceiver& mover = hosts_[place].members.front();
    place_of_host_[mover.host] = place;
    if (parent(place) != parent(last)) moved.push_back(mover.name);
  }
  hosts_.pop_back();
  const auto [first, end] = children(place);
  for (std::size_t child = first; child < end; ++child)
    moved.push_back(hosts_[child].members.front().name);
  return moved;
}

std::string RelayTree::source(const std::string& name) const {
  const std::size_t place = place_of(name);
  const std::string& receives = hosts_[place].members.front().name;
  if (receives != name) return receives;
  return parent(place) == kPublisher ? "" : hosts_[parent(place)].members.front().name;
}

std::vector<std::string> RelayTree::served_by(const std::string& source) const {
  std::vector<std::string> served;
  const std::size_t place = source.empty() ? kPublisher : place_of(source);
  if (place != kPublisher) {
    const auto& members = hosts_[place].members;
    if (members.front().name != source) return {};
    for (std::size_t i = 1; i < members.size(); ++i) served.push_back(members[i].name);
  }
  const auto [first, end] = children(place);
  for (std::size_t child = first; child < end; ++child)
    served.push_back(hosts_[child].members.front().name);
  return served;
}

std::uint32_t RelayTree::depth(const std::string& name) const {
  std::uint32_t links = 1;
  for (std::size_t place = place_of(name); parent(place) != kPublisher; place = parent(place))
    ++links;
  return links;
}

double RelayTree::seconds(std::uint64_t bytes, double publisher_bytes_per_second) const {
  std::vector<double> done(hosts_.size(), 0);
  for (std::size_t place = 0; place < hosts_.size();
       ++place) {  // a parent comes before its children
    const std::size_t from = parent(place);
    const auto [first, end] = children(from);
    const double sends = from == kPublisher ? publisher_bytes_per_second
                                            : hosts_[from].members.front().bytes_per_second;
    const double rate = std::min(sends / static_cast<double>(end - first),
                                 hosts_[place].members.front().bytes_per_second);
    done[place] = (from == kPublisher ? 0 : done[from]) + static_cast<double>(bytes) / rate;
  }
  return done.empty() ? 0 : *std::max_element(done.begin(), done.end());
}

/// Places 0 to fan_out - 1 are the publisher's; the children of place p begin at (p + 1) * fan_out.
std::size_t RelayTree::parent(std::size_t place) const {
  return place < fan_out_ ? kPublisher : place / fan_out_ - 1;
}

std::pair<std::size_t, std::size_t> RelayTree::children(std::size_t place) const {
  const std::size_t first = std::min((place + 1) * fan_out_, hosts_.size());  // kPublisher + 1 is 0
  return {first, std::min(first + fan_out_, hosts_.size())};
}

std::size_t RelayTree::place_of(const std::string& name) const {
  return place_of_host_.at(host_of_.at(name));
}

}  // namespace troupe
