#pragma once
// Requests that cannot be answered yet.
#include <algorithm>
#include <caf/actor_clock.hpp>
#include <caf/typed_response_promise.hpp>
#include <deque>
#include <utility>

namespace troupe {

/// What a consumer asked for, and since when. Answered in order of arrival; with nothing once it
/// has waited for `patience`, well before the asker's own deadline, so that no answer is ever lost
/// to a request that has ended.
template <class Answer, class Wish>
class WaitingLine {
 public:
  struct Entry {
    caf::typed_response_promise<Answer> promise;
    Wish wish;
    caf::actor_clock::time_point since;
  };

  void add(caf::typed_response_promise<Answer> promise, Wish wish,
           caf::actor_clock::time_point now) {
    entries_.push_back({std::move(promise), std::move(wish), now});
  }
  /// Answers with an empty `Answer` everyone who has waited since before `now - patience`.
  void answer_impatient(caf::actor_clock::time_point now,
                        caf::actor_clock::duration_type patience) {
    while (!entries_.empty() && now - entries_.front().since >= patience) {
      entries_.front().promise.deliver(Answer{});
      entries_.pop_front();
    }
  }
  void refuse_all(const caf::error& reason) {
    for (Entry& entry : entries_) entry.promise.deliver(reason);
    entries_.clear();
  }
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  Entry& operator[](std::size_t i) { return entries_[i]; }
  Entry& front() { return entries_.front(); }
  void pop_front() { entries_.pop_front(); }
  /// Forgets those whose asker is gone: nothing must be handed to them any more.
  template <class Predicate>
  void forget_if(Predicate gone) {
    std::erase_if(entries_, [&](const Entry& entry) { return gone(entry.wish); });
  }
  void erase_answered(const std::deque<bool>& answered) {
    std::size_t i = 0;
    std::erase_if(entries_, [&](const Entry&) { return answered[i++]; });
  }

 private:
  std::deque<Entry> entries_;
};

/// Deadlines between actors, from [director] request-deadline-seconds.
struct Deadlines {
  caf::actor_clock::duration_type request = std::chrono::seconds(30);
  caf::actor_clock::duration_type patience() const { return request / 3; }
  caf::actor_clock::duration_type check_interval() const { return request / 30; }
};

}  // namespace troupe
