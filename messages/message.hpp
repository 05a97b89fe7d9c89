#pragma once
// Immutable Cap'n Proto messages: what one actor sends, any number may read.
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <cstdint>
#include <kj/array.h>
#include <memory>
#include <utility>

namespace troupe {

/// Options for reading words that a peer may have chosen: overlapping pointers and deep nesting are
/// refused.
capnp::ReaderOptions untrusted_reader_options(std::size_t words);
/// Options for words that were checked once: no traversal limit, which would add up over the
/// reader's life.
capnp::ReaderOptions checked_reader_options();

/// A shared, immutable message, cheap to copy (one pointer). Safe to read from any thread.
/// Fields, shapes and units are documented once, in the .capnp file; `validate(Schema::Reader)`
/// holds what it REQUIRES.
template <class Schema>
class Message {
 public:
  Message() = default;  // CAF default-constructs and copies messages, hence the shared pointer

  /// fill(Schema::Builder) writes the fields. Errors: throws kj::Exception if what was written
  /// breaks a REQUIRES.
  template <class Fill>
  static Message build(Fill&& fill) {
    capnp::MallocMessageBuilder builder;
    fill(builder.initRoot<Schema>());
    return Message(capnp::messageToFlatArray(builder));
  }

  /// A message of its own with the same contents, of what a peer sent as part of another. Errors: as above.
  static Message copy(typename Schema::Reader reader) {
    capnp::MallocMessageBuilder builder(static_cast<unsigned>(reader.totalSize().wordCount + 1));
    builder.setRoot(reader);
    return Message(capnp::messageToFlatArray(builder));
  }

  /// Takes words built here or received from a peer. Errors: throws kj::Exception if malformed.
  explicit Message(kj::Array<capnp::word> words)
      : storage_(std::make_shared<const Storage>(std::move(words))) {}

  explicit operator bool() const { return storage_ != nullptr; }
  typename Schema::Reader read() const { return storage_->root; }
  kj::ArrayPtr<const capnp::word> words() const { return storage_->words; }
  std::size_t bytes() const { return storage_->words.size() * sizeof(capnp::word); }

 private:
  struct Storage {
    explicit Storage(kj::Array<capnp::word> taken)
        : words(check(std::move(taken))),
          reader(words, checked_reader_options()),
          root(reader.template getRoot<Schema>()) {}

    static kj::Array<capnp::word> check(kj::Array<capnp::word> taken) {
      capnp::FlatArrayMessageReader first(taken, untrusted_reader_options(taken.size()));
      const auto root = first.template getRoot<Schema>();
      root.totalSize();  // bounds-checks every pointer
      validate(root);    // reads every field, so no handler meets a bad one first
      return taken;
    }

    kj::Array<capnp::word> words;
    capnp::FlatArrayMessageReader reader;
    typename Schema::Reader
        root;  // made once: the first getRoot builds the arena and is not thread-safe
  };
  std::shared_ptr<const Storage> storage_;
};

}  // namespace troupe
