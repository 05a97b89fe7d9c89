// Processes of two versions may meet: what one of them writes, the other reads. `1` and `2` hold the schemas as they were
// when golden/*.bin were written; `past` and `future` know less and more than today's.
#include "messages/rollout.hpp"
#include "messages/weights.hpp"
#include "messages/wire/directing.capnp.h"
#include "messages/wire/gate.capnp.h"
#include "messages/wire/ranks.capnp.h"
#include "messages/wire/roles.capnp.h"

#include <doctest/doctest.h>

#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema-loader.h>
#include <capnp/schema-parser.h>
#include <capnp/serialize.h>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <kj/filesystem.h>
#include <map>
#include <string>
#include <vector>

TEST_SUITE_BEGIN("messages");

namespace troupe {
namespace {

const std::string kEvolution = TROUPE_SOURCE_DIR "/tests/messages/evolution/";
constexpr const char* kVersions[] = {"1", "2"};

kj::Own<const kj::ReadableDirectory> directory(const std::string& path) {
  const auto disk = kj::newDiskFilesystem();
  return disk->getRoot().openSubdir(disk->getCurrentPath().evalNative(path));
}

/// The schemas in a folder, read from their text.
class Schemas {
 public:
  explicit Schemas(const std::string& folder)
      : own_(directory(folder)), library_(directory(TROUPE_CAPNP_INCLUDE)) {}
  capnp::ParsedSchema file(const std::string& name) {
    const kj::ReadableDirectory* const imports[] = {own_.get(), library_.get()};
    return parser_.parseFromDirectory(*own_, kj::Path::parse(name.c_str()),
                                      kj::arrayPtr(imports, 2));
  }
  /// Names of all there are, below the folder.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const char* folder : {"messages", "messages/wire"})
      for (const kj::String& name : own_->openSubdir(kj::Path::parse(folder))->listNames())
        if (name.endsWith(".capnp")) names.push_back(kj::str(folder, "/", name).cStr());
    return names;
  }

 private:
  kj::Own<const kj::ReadableDirectory> own_, library_;
  capnp::SchemaParser parser_;
};

using Nodes = std::map<std::uint64_t, capnp::Schema>;

void collect(capnp::ParsedSchema schema, Nodes& nodes) {
  nodes.emplace(schema.getProto().getId(), schema);
  if (schema.getProto().isInterface()) {
    for (const auto method : schema.asInterface().getMethods())
      for (const capnp::Schema part :
           {capnp::Schema(method.getParamType()), capnp::Schema(method.getResultType())})
        nodes.emplace(part.getProto().getId(), part);
  }
  for (const auto& nested : schema.getAllNested()) collect(nested, nodes);
}

Nodes nodes_of(Schemas& schemas) {
  Nodes nodes;
  for (const std::string& name : schemas.files()) collect(schemas.file(name), nodes);
  return nodes;
}

kj::Array<capnp::word> golden(const std::string& name) {
  std::ifstream stream(kEvolution + "golden/" + name + ".bin", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  REQUIRE(bytes.size() > 0);
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), bytes.data(), words.asBytes().size());
  return words;
}

void fill(capnp::DynamicStruct::Builder rollout) {
  rollout.set("id", 5u);
  rollout.set("ticket", 7u);
  rollout.set("promptLength", 1u);
  const std::int32_t tokens[] = {1, 8, 9};
  auto list = rollout.init("tokens", 3).as<capnp::DynamicList>();
  for (unsigned i = 0; i < 3; ++i) list.set(i, tokens[i]);
  auto log_probs = rollout.init("logProbs", 2).as<capnp::DynamicList>();
  for (unsigned i = 0; i < 2; ++i) log_probs.set(i, -0.5);
  auto runs = rollout.init("versions", 1).as<capnp::DynamicList>();
  runs[0].as<capnp::DynamicStruct>().set("version", 3u);
  runs[0].as<capnp::DynamicStruct>().set("count", 2u);
}

/// A rollout as another version of the program writes it.
kj::Array<capnp::word> written_by(
    const char* version, const std::function<void(capnp::DynamicStruct::Builder)>& more = {}) {
  Schemas schemas(kEvolution + version);
  capnp::MallocMessageBuilder message;
  auto rollout = message.initRoot<capnp::DynamicStruct>(
      schemas.file("messages/rollout.capnp").getNested("Rollout").asStruct());
  fill(rollout);
  if (more) more(rollout);
  return capnp::messageToFlatArray(message);
}

}  // namespace

TEST_CASE("every schema of an earlier version may be replaced by that of today") {
  Schemas new_text(TROUPE_SOURCE_DIR);
  const Nodes new_nodes = nodes_of(new_text);
  for (const char* version : kVersions) {
    CAPTURE(version);
    Schemas old_text(kEvolution + version);
    const Nodes old_nodes = nodes_of(old_text);
    CHECK(old_nodes.size() > 50);
    for (const auto& [id, schema] : old_nodes) {
      const std::string name = schema.getProto().getDisplayName().cStr();
      CAPTURE(name);
      const auto found = new_nodes.find(id);
      if (found == new_nodes.end()) {
        FAIL_CHECK("is gone");
        continue;
      }
      capnp::SchemaLoader loader;  // compares two nodes of one id
      loader.load(schema.getProto());
      CHECK_NOTHROW(loader.load(found->second.getProto()));
    }
  }
}

TEST_CASE("the newest copy has every file and every interface of today") {
  Schemas copy_text(kEvolution + std::string(*std::rbegin(kVersions))), new_text(TROUPE_SOURCE_DIR);
  CHECK(copy_text.files() == new_text.files());
  const Nodes copy_nodes = nodes_of(copy_text);
  for (const auto& [id, schema] : nodes_of(new_text)) {
    const std::string name = schema.getProto().getDisplayName().cStr();
    CAPTURE(name);
    if (schema.getProto().isInterface()) CHECK(copy_nodes.contains(id));
  }
}

TEST_CASE("a schema that changed its meaning may not replace another") {
  Schemas schemas(TROUPE_SOURCE_DIR);
  const auto verdict = schemas.file("messages/rollout.capnp").getNested("Verdict");
  capnp::MallocMessageBuilder message;
  message.setRoot(verdict.getProto());
  auto node = message.getRoot<capnp::schema::Node>();
  node.getStruct().getFields()[2].getSlot().initType().setUint32();  // reward, which is a float
  capnp::SchemaLoader loader;
  loader.load(verdict.getProto());
  CHECK_THROWS_AS(loader.load(node.asReader()), kj::Exception);
}

TEST_CASE("messages that version 1 wrote are read today") {
  const Ticket ticket(golden("ticket"));
  CHECK(ticket.read().getId() == 7);
  CHECK(ticket.read().getAttempt() == 1);
  CHECK(ticket.read().getPromptUid() == 42);
  CHECK(tokens_of(ticket.read().getPromptTokens()) == std::vector<std::int32_t>{1, 15, 16});
  CHECK(ticket.read().getIndices()[1] == 2);
  CHECK(ticket.read().getGroupSize() == 4);
  CHECK(ticket.read().getMinVersion() == 3);

  const Rollout rollout(golden("rollout"));
  CHECK(rollout.read().getId() == 0x0123456789abcdef);
  CHECK(rollout.read().getIndex() == 2);
  CHECK(rollout.read().getPromptLength() == 3);
  CHECK(tokens_of(rollout.read().getTokens()) == std::vector<std::int32_t>{1, 15, 16, 20, 21, 2});
  CHECK(rollout.read().getLogProbs()[1] == -1.25f);
  CHECK(rollout.read().getVersions()[1].getVersion() == 4);
  CHECK(rollout.read().getTruncated());
  CHECK(rollout.read().getGenerator() == "gen-0");

  const Verdict verdict(golden("verdict"));
  CHECK(verdict.read().getRollout() == rollout.read().getId());
  CHECK(verdict.read().getOutcome() == wire::Verdict::Outcome::FAIL);
  CHECK(verdict.read().getReward() == 0.125f);
  CHECK(verdict.read().getFormat() == 1.0f);
  CHECK(verdict.read().getReason() == "a wrong sum");

  const auto words = golden("hello");
  capnp::FlatArrayMessageReader message(words);
  const auto hello = message.getRoot<wire::Hello>();
  CHECK(hello.getName() == "gen-0");
  CHECK(hello.getProtocol() == 1);
  CHECK(hello.getConfigDigest() == "0123456789abcdef");
  CHECK(hello.getProcessId() == 99);
  CHECK(hello.getIncarnation() == 3);
}

TEST_CASE("messages that version 2 wrote are read today") {
  const Ticket ticket(golden("handed_over_ticket"));
  REQUIRE(ticket.read().getParts().size() == 1);
  CHECK(ticket.read().getParts()[0].getIndex() == 2);
  CHECK(tokens_of(ticket.read().getParts()[0].getTokens()) == std::vector<std::int32_t>{20, 21});
  CHECK(ticket.read().getParts()[0].getVersions()[1].getVersion() == 4);

  const Message<wire::WeightsHeader> header(golden("weights_header"));
  CHECK(header.read().getTensors()[0].getShape()[1] == 3);
  CHECK(header.read().getSha256().size() == 32);

  const auto words = golden("news");
  capnp::FlatArrayMessageReader message(words);
  const auto news = message.getRoot<wire::News>();
  REQUIRE(news.isEvaluated());
  CHECK(news.getEvaluated().getPlace() == wire::EvaluationNote::Place::DURING);
  CHECK(news.getEvaluated().getPassRateGreedy() == 0.25);
  CHECK(news.getEvaluated().getSamples()[0].getReward() == 1);

  const auto sheet_words = golden("call_sheet");
  capnp::FlatArrayMessageReader sheet(sheet_words);
  CHECK(sheet.getRoot<wire::CallSheet>().getFirstVersion() == 5);

  const auto hello_words = golden("rank_hello");
  capnp::FlatArrayMessageReader hello(hello_words);
  CHECK(hello.getRoot<wire::RankHello>().getPurpose() == wire::RankHello::Purpose::TASKS);
  CHECK(hello.getRoot<wire::RankHello>().getWeightsDigest() == "fedcba9876543210");
}

TEST_CASE("what is written today is read by version 1") {
  const Rollout rollout = Rollout::copy(Rollout(golden("rollout")).read());
  Schemas schemas(kEvolution + "1");
  capnp::FlatArrayMessageReader message(rollout.words());
  const auto read = message.getRoot<capnp::DynamicStruct>(
      schemas.file("messages/rollout.capnp").getNested("Rollout").asStruct());
  CHECK(read.get("id").as<std::uint64_t>() == 0x0123456789abcdef);
  CHECK(read.get("logProbs").as<capnp::DynamicList>()[2].as<float>() == -0.125f);
  CHECK(read.get("generator").as<capnp::Text>() == "gen-0");
}

TEST_CASE("fields that a message lacks have their defaults") {
  const Rollout rollout(written_by("past"));
  CHECK(rollout.read().getTicket() == 7);
  CHECK_FALSE(rollout.read().getTruncated());
  CHECK(rollout.read().getGenerator() == "");
}

TEST_CASE("fields that nobody knows yet do no harm and are passed on") {
  const auto more = [](capnp::DynamicStruct::Builder rollout) {
    rollout.set("unknown11", 11u);
    rollout.set("unknown12", "twelve");
    rollout.init("unknown13", 3);
    rollout.get("versions").as<capnp::DynamicList>()[0].as<capnp::DynamicStruct>().set("host", "h");
  };
  const Rollout rollout(written_by("future", more));
  CHECK(rollout.read().getVersions()[0].getCount() == 2);
  const Rollout copied = Rollout::copy(rollout.read());  // as a desk passes it on
  Schemas schemas(kEvolution + "future");
  capnp::FlatArrayMessageReader message(copied.words());
  const auto read = message.getRoot<capnp::DynamicStruct>(
      schemas.file("messages/rollout.capnp").getNested("Rollout").asStruct());
  CHECK(read.get("unknown11").as<std::uint64_t>() == 11);
  CHECK(read.get("unknown12").as<capnp::Text>() == "twelve");
  CHECK(read.get("unknown13").as<capnp::DynamicList>().size() == 3);
}

TEST_CASE("a message of another version is validated like any other") {
  for (const char* version : {"past", "1", "future"}) {
    CAPTURE(version);
    CHECK_NOTHROW(Rollout(written_by(version)));
    CHECK_THROWS_AS(Rollout(written_by(version,
                                       [](capnp::DynamicStruct::Builder rollout) {
                                         rollout.set("promptLength", 3u);
                                       })),
                    kj::Exception);
    CHECK_THROWS_AS(Rollout(written_by(version,
                                       [](capnp::DynamicStruct::Builder rollout) {
                                         rollout.get("versions")
                                             .as<capnp::DynamicList>()[0]
                                             .as<capnp::DynamicStruct>()
                                             .set("count", 1u);
                                       })),
                    kj::Exception);
  }
}

}  // namespace troupe
