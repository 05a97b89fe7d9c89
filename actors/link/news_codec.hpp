#pragma once
// News and notes as they travel (directing.capnp). Whatever a peer sent is checked here.
#include "actors/link/news.hpp"
#include "messages/wire/directing.capnp.h"

namespace troupe {

/// Errors: the readers throw kj::Exception if a figure is not finite, a count is negative or a kind is not known.
News read_news(wire::News::Reader from);
void write(const News& news, wire::News::Builder to);

EvaluationNote read_note(wire::EvaluationNote::Reader from);
void write(const EvaluationNote& note, wire::EvaluationNote::Builder to);

LedgerRecord read_ledger(wire::LedgerRecord::Reader from);
void write(const LedgerRecord& ledger, wire::LedgerRecord::Builder to);

}  // namespace troupe
