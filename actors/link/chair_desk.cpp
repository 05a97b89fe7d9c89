#include "actors/link/chair_desk.hpp"

#include "actors/errors.hpp"
#include "actors/link/conductor_proxy.hpp"
#include "actors/link/news_codec.hpp"
#include "actors/link/shown_queue.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <kj/debug.h>
#include <utility>

namespace troupe {

ChairDesk::ChairDesk(wire::Loop& loop, const ChairPlan& plan, Finish finish, Known known)
    : plan_(plan), timer_(loop.timer), finish_(std::move(finish)), known_(std::move(known)) {
  intake_.emplace(loop, plan_.weights, plan_.limits.call_seconds, plan_.deadlines, *plan_.system,
                  *plan_.telemetry);
  if (plan_.tls) tls_ = kj::heap<wire::TlsContext>(*plan_.tls, timer_);
  Membership::Events events;
  events.joined = [this](capnp::Capability::Client) { joined(); };
  events.left = [this] { left(); };
  events.report = [](capnp::Capability::Client granted, const SiteReport& facts) {
    auto request = granted.castAs<wire::DirectorPost>().reportRequest();
    write(facts, request.initFacts());
    return request.send().ignoreResult();
  };
  events.over = [this](const SiteEnd& end) { this->finish(end); };
  membership_ = kj::heap<Membership>(loop, plan_, tls_.get(), std::move(events));
}

ChairDesk::~ChairDesk() noexcept(false) {
  intake_->close();
}

void ChairDesk::attend(const caf::actor& proxy) {
  if (finished_)
    caf::anon_send(proxy, over_atom::value, over_);
  else
    proxy_ = proxy;
}

void ChairDesk::joined() {
  greeted_ = false;
  speak();
  read_on();
  pull();
}

/// That process ends by itself once it knows that the run is over.
void ChairDesk::left() {
  if (closing_ && words_.empty()) return say_over("");
  if (stopping_ && !closing_) stop_alone();
}

/// Who was told to stop does not wait for a process that may never come back.
void ChairDesk::stop_alone() {
  finish({SiteEnd::Kind::away_too_long,
          "the replay buffer's process is away, and the run was told to stop"});
}

void ChairDesk::begin(std::uint32_t stage) {
  stage_on_ = stage;
  ended_.reset();
  published_.clear();
  say(Begin{stage});
  hear();
}

void ChairDesk::stop() {
  stopping_ = true;
  say(Stop{});
  if (membership_->away()) stop_alone();
}

void ChairDesk::close(const std::string& reason) {
  closing_ = true;
  say(Close{reason});
  hear();
}

void ChairDesk::say(Word word) {
  words_.push_back(std::move(word));
  speak();
}

/// One at a time, so that they arrive in order; what is not known to have arrived is said again after the rejoin, or soon.
void ChairDesk::speak() {
  if (speaking_ || words_.empty() || finished_ || membership_->away()) return;
  speaking_ = true;
  keep(kj::evalNow([&] {
         return in_time(spoken(membership_->post().castAs<wire::DirectorPost>(), words_.front()));
       })
           .then(
               [this] {
                 speaking_ = false;
                 words_.pop_front();
                 speak();
               },
               [this](kj::Exception&& exception) {
                 speaking_ = false;
                 fell_short(exception);
                 keep(timer_.afterDelay(1 * kj::SECONDS).then([this] { speak(); }));
               }));
}

kj::Promise<void> ChairDesk::spoken(wire::DirectorPost::Client post, const Word& word) {
  if (const auto* begin = std::get_if<Begin>(&word)) {
    auto request = post.beginRequest();
    request.setStage(begin->stage);
    return request.send().ignoreResult();
  }
  if (const auto* close = std::get_if<Close>(&word)) {
    auto request = post.closeRequest();
    request.setReason(close->reason);
    return request.send().ignoreResult();
  }
  if (const auto* note = std::get_if<EvaluationNote>(&word)) {
    auto request = post.noteRequest();
    write(*note, request.initEvaluation());
    return request.send().ignoreResult();
  }
  if (const auto* pause = std::get_if<Pause>(&word)) {
    auto request = post.pauseRequest();
    request.setOn(pause->on);
    return request.send().ignoreResult();
  }
  return post.stopRequest().send().ignoreResult();
}

/// First all of the past, then as the director listens.
void ChairDesk::read_on() {
  if (reading_ || finished_ || membership_->away()) return;
  if (past_known_ && !(listens() && inbox_.empty())) return;
  reading_ = true;
  auto request = membership_->post().castAs<wire::DirectorPost>().newsRequest();
  request.setFrom(from_);
  request.setWait(past_known_);
  keep(in_time(request.send().then([this](Page&& page) { came(page); }))
           .then([this] { return read_shown(); })
           .then(
               [this] {
                 reading_ = false;
                 hear();
               },
               [this](kj::Exception&& exception) {
                 reading_ = false;
                 fell_short(exception);
                 keep(timer_.afterDelay(1 * kj::SECONDS).then([this] { read_on(); }));
               }));
}

/// What is shown of the updates that a page tells of, before those are heard; what cannot be had now, with the next page.
kj::Promise<void> ChairDesk::read_shown() {
  if (!proxy_ || shown_from_ >= shown_end_ || membership_->away()) return kj::READY_NOW;
  return kj::evalNow([&] {
           auto request = membership_->post().castAs<wire::DirectorPost>().rolloutsRequest();
           request.setFrom(shown_from_);
           return in_time(request.send().then([this](ShownResults&& page) { came_shown(page); }));
         })
      .then([this] { return read_shown(); })
      .catch_([this](kj::Exception&& exception) {
        fell_short(exception);
        const auto type = exception.getType();
        if (type == kj::Exception::Type::FAILED || type == kj::Exception::Type::UNIMPLEMENTED)
          leave_out("refused");
      });
}

/// All that is still to be read.
void ChairDesk::leave_out(const char* reason) {
  if (shown_from_ >= shown_end_) return;
  not_shown(plan_.telemetry->metrics(), reason, shown_end_ - shown_from_);
  shown_from_ = shown_end_;
}

void ChairDesk::came_shown(const ShownResults& page) {
  std::uint64_t end = shown_from_;
  for (const auto one : page.getRollouts()) {
    KJ_REQUIRE(one.getNumber() >= end, "rollouts out of order");
    not_shown(plan_.telemetry->metrics(), "forgotten", one.getNumber() - end);
    const ShownRollout rollout = ShownRollout::copy(one.getRollout());
    if (proxy_) caf::anon_send(proxy_, show_atom::value, rollout);
    shown_from_ = end = one.getNumber() + 1;
  }
  if (page.getRollouts().size() == 0) leave_out("forgotten");
}

void ChairDesk::came(const Page& page) {
  if (!before_) before_ = page.getEnd();
  shown_end_ = std::max(shown_end_, page.getShownEnd());
  for (const auto one : page.getNews()) {
    inbox_.push_back(read_news(one));
    from_ = inbox_.back().number + 1;
  }
  hear_of(page.getActors());
  if (page.getHasAtVerifiers()) plan_.telemetry->lent_elsewhere(page.getAtVerifiers());
  if (!std::exchange(greeted_, true) && plan_.telemetry->paused() != page.getPaused())
    plan_.telemetry->pause(page.getPaused());
  if (past_known_ || from_ < *before_) return;
  past_known_ = true;
  Past known = past();
  known.began_before = page.getSeconds() - plan_.telemetry->seconds_since_start();
  known_(std::move(known));
}

/// Who is not named any more has left.
void ChairDesk::hear_of(capnp::List<wire::ActorTime>::Reader actors) {
  std::set<std::string> named;
  for (const auto actor : actors) {
    const ActorView view{actor.getName(),
                         actor.getPhase(),
                         {actor.getBusySeconds(), actor.getIdleSeconds()},
                         actor.getHasVersion() ? std::optional(actor.getVersion()) : std::nullopt};
    plan_.telemetry->peer(view.name,
                          actor.getIsPeer() ? std::optional(actor.getAway()) : std::nullopt);
    plan_.telemetry->peer_says(view);
    named.insert(view.name);
  }
  for (const std::string& name : actors_)
    if (!named.contains(name)) plan_.telemetry->peer_left(name);
  actors_ = std::move(named);
}

Past ChairDesk::past() const {
  Past past;
  for (const News& news : inbox_) {
    if (const auto* begun = std::get_if<StageBegun>(&news.body)) past.begun.insert(begun->stage);
    if (const auto* note = std::get_if<EvaluationNote>(&news.body))
      past.evaluations.push_back(*note);
  }
  return past;
}

void ChairDesk::hear() {
  while (listens() && !inbox_.empty()) {
    const News news = std::move(inbox_.front());
    inbox_.pop_front();
    hear(news);
  }
  read_on();
}

void ChairDesk::hear(const News& news) {
  if (const auto* published = std::get_if<Published>(&news.body)) {
    published_[published->version] = published->update;
    tell_update();
  } else if (const auto* ended = std::get_if<StageEnded>(&news.body)) {
    if (ended->end.stage != stage_on_) return;
    ended_ = *ended;
    tell_end();
  } else if (const auto* note = std::get_if<EvaluationNote>(&news.body)) {
    const bool other = news.number < *before_;  // this process wrote down its own
    if (other && note->place == EvaluationNote::Place::during)
      caf::anon_send(proxy_, heard_atom::value, news.body);
  } else if (const auto* over = std::get_if<ConductorOver>(&news.body)) {
    keep(read_shown().then([this, why = over->why] { say_farewell(why); }));
  } else {
    caf::anon_send(proxy_, heard_atom::value, news.body);
  }
}

/// Each version as it comes: should that process die, the newest is here.
void ChairDesk::pull() {
  if (pulling_ || finished_ || membership_->away()) return;
  pulling_ = true;
  auto source =
      membership_->post().castAs<wire::DirectorPost>().weightsRequest().send().getSource();
  keep(intake_->fetch(kj::mv(source), newest_ ? newest_.version() + 1 : 0)
           .then(
               [this](Weights weights) {
                 pulling_ = false;
                 came(weights);
                 pull();
               },
               [this](kj::Exception&&) {
                 pulling_ = false;
                 keep(timer_.afterDelay(1 * kj::SECONDS).then([this] { pull(); }));
               }));
}

void ChairDesk::came(const Weights& weights) {
  if (!weights) return;
  newest_ = weights;
  tell_update();
  tell_end();
}

/// The director hears of an update with the weights of just that update, or not at all: it has the newest in any case.
void ChairDesk::tell_update() {
  if (!newest_ || !stage_on_) return;
  const auto found = published_.find(newest_.version());
  if (found == published_.end()) return;
  caf::anon_send(proxy_, updated_atom::value, found->second, newest_);
  published_.erase(published_.begin(), std::next(found));
}

void ChairDesk::tell_end() {
  if (!ended_ || (ended_->has_weights && (!newest_ || newest_.version() < ended_->version))) return;
  StageEnd end = std::move(ended_->end);
  if (ended_->has_weights) end.weights = newest_;
  ended_.reset();
  stage_on_.reset();
  caf::anon_send(proxy_, ended_atom::value, std::make_shared<const StageEnd>(std::move(end)));
  if (closing_) hear();
}

/// A lost link says so itself, and with the rejoin all goes on at once.
void ChairDesk::fell_short(const kj::Exception& exception) {
  if (exception.getType() != kj::Exception::Type::DISCONNECTED)
    plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

/// That process ends once it knows that all was heard here.
void ChairDesk::say_farewell(const std::string& why) {
  const std::string failure = closing_ ? std::string() : why;
  leave_out("refused");  // there is no next page
  if (membership_->away()) return say_over(failure);
  auto request = membership_->post().castAs<wire::DirectorPost>().newsRequest();
  request.setFrom(from_);
  keep(in_time(request.send().ignoreResult())
           .then([this, failure] { say_over(failure); },
                 [this, failure](kj::Exception&&) { say_over(failure); }));
}

void ChairDesk::say_over(const std::string& failure) {
  finish({failure.empty() ? SiteEnd::Kind::left : SiteEnd::Kind::actor_died, failure});
}

void ChairDesk::finish(const SiteEnd& end) {
  if (std::exchange(finished_, true)) return;
  membership_->quiet();
  if (!std::exchange(past_known_, true)) known_(end);
  over_ = end.text;
  if (proxy_) caf::anon_send(std::exchange(proxy_, nullptr), over_atom::value, over_);
  finish_(end);
}

void ChairDesk::taskFailed(kj::Exception&& exception) {
  plan_.telemetry->event("link_error", exception.getDescription().cStr());
}

}  // namespace troupe
