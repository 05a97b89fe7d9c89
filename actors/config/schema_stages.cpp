#include "actors/config/schema_rows.hpp"

namespace troupe::config {

Section stages_section() {
  using C = StageConfig;
  using M = AdditionMix;
  return stage_table(
      "The stages, one table each, run in this order.",
      {
          {"kind", &C::kind, one_of(stage_kinds()), "",
           "pretrain and sft train on documents, rl on graded rollouts, eval only measures."},
          {"name", &C::name, any(), "",
           "Shown in the status and the report; the kind when left out."},
          {"updates", &C::updates, between(1, 100000000).in(kTraining), "updates",
           "Length of the stage."},
          {"batch-documents", &C::batch_documents, between(1, 1000000).in(kSupervised), "documents",
           "Documents per update."},
          {"documents", &C::documents, path(PathKind::input_file).in(kSupervised), "",
           "File with one {\"prompt\", \"response\"} per line; empty: the built-in corpus of sums, "
           "which the next keys describe."},
          {"documents-limit", &C::documents_limit, between(0, 10000000).in(kSft).own_corpus(),
           "documents",
           "A fixed set of this many documents, drawn from again and again; 0: endless."},
          {"digits", &C::digits, between(1, 18).in(kSupervised).own_corpus(), "digits",
           "Lengths of the operands; default: task.digits. A length named twice comes twice as "
           "often."},
          {"bare", mix_member<&M::bare>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that give the answer without any tag."},
          {"direct", mix_member<&M::direct>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that answer at once: <think></think><answer>0843</answer>."},
          {"work", mix_member<&M::work>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Documents that work column by column, then answer."},
          {"broken", mix_member<&M::broken>(), between(0, 1).in(kSupervised).own_corpus(), "share",
           "Worked documents with one tag missing. The four shares add up to 1."},
          {"step-error", mix_member<&M::step_error>(), between(0, 1).in(kSupervised).own_corpus(),
           "probability",
           "Chance that a column of a worked document is off; the error carries on."},
          {"answer-error", mix_member<&M::answer_error>(),
           between(0, 1).in(kSupervised).own_corpus(), "probability",
           "Chance that a digit of a bare or direct answer is off by one."},
          {"keep-optimizer", &C::keep_optimizer, any().in(kSupervised), "",
           "Go on with the moments of the stage before instead of fresh ones."},
          {"gate", &C::gate, between(0, 1).in(kSupervised).own_corpus(), "share",
           "Share of worked probe documents that the model must complete without a wrong token, in "
           "each length of operands; the stage goes on at its last learning rate until then. 0: no "
           "gate."},
          {"gate-every", &C::gate_every, between(1, 1000000).in(kSupervised).own_corpus(),
           "updates", "Updates between probes of the gate."},
          {"gate-limit", &C::gate_limit, between(1, 100000000).in(kSupervised).own_corpus(),
           "updates", "Updates after which the stage ends even if the gate is not passed."},
          {"gate-documents", &C::gate_documents, between(1, 1000000).in(kSupervised).own_corpus(),
           "documents", "Probe documents per length of operands."},
          {"learning-rate", &C::learning_rate, positive(10).in(kTraining), "",
           "Learning rate after the warm-up."},
          {"learning-rate-final", &C::learning_rate_final, between(0, 10).in(kTraining), "",
           "Learning rate at the end; linear in between."},
          {"warmup-updates", &C::warmup_updates, between(0, 1000000).in(kTraining), "updates",
           "Updates over which the learning rate rises from 0."},
          {"weight-decay", &C::weight_decay, between(0, 10).in(kTraining), "",
           "AdamW: decoupled weight decay, on every parameter."},
      });
}

}  // namespace troupe::config
