//! `cargo xtask breaks`: rules that the simulation of whole calls proves are broken on purpose, one at a time, and a simulated call has to fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::{output, run, step};
use crate::workspace;

/// One rule, and how the code looks that breaks it.
struct Break {
    /// What is done then that must not be done.
    wrong: &'static str,
    file: &'static str,
    /// These lines, which stand in the file once,
    right: &'static str,
    /// become these.
    broken: &'static str,
}

const HEARING: &str = "relay/src/call/hearing.rs";
const LEAVING: &str = "relay/src/call/leaving.rs";
const BEGUN: &str = "relay/src/call/begun.rs";
const SPEAKING: &str = "relay/src/call/speaking.rs";
const SPENDING: &str = "relay/src/call/spending.rs";
const TRANSCRIPT: &str = "relay/src/call/transcript.rs";
const ANSWER: &str = "relay/src/call/answer.rs";
const TAB: &str = "relay/src/money/tab.rs";
const LATE: &str = "relay/src/money/tab/late.rs";
const PURSE: &str = "relay/src/money/purse.rs";
const POLICY: &str = "relay/src/session/policy/mod.rs";
const JOURNAL: &str = "relay/src/session/journal.rs";
const BEGINNING: &str = "relay/src/session/beginning.rs";
const RECEIVE: &str = "protocol/src/client/receive.rs";
const TOOLS: &str = "relay/src/call/tools.rs";
const CONVERSATION: &str = "relay/src/agent/conversation/mod.rs";
const UNDERSTANDING: &str = "relay/src/agent/conversation/understanding.rs";
/// Of the model of the store: what the real one gives back is shown by the suite that runs on both databases.
const BOOKS: &str = "simulation/src/store/money.rs";
const MEMORY: &str = "relay/src/agent/conversation/memory.rs";
const TENTATIVE: &str = "relay/src/agent/conversation/tentative.rs";
const THINKING: &str = "relay/src/agent/conversation/thinking.rs";
const PIECE: &str = "relay/src/agent/conversation/speaking/piece.rs";

const BREAKS: [Break; 43] = [
    Break {
        wrong: "what was set aside for a lost session stays set aside",
        file: BOOKS,
        right: "            return self.release(id);",
        broken: "            return;",
    },
    Break {
        wrong: "words that nobody heard stay when the call ends",
        file: LEAVING,
        right: "self.shorten_answer();\n        self.finish_answer();",
        broken: "self.finish_answer();",
    },
    Break {
        wrong: "committed before the store has the turn",
        file: TRANSCRIPT,
        right: "self.storing += 1;\n        for turn in &mut turns {",
        broken: "self.commit(self.committable);\n        self.storing += 1;\n        for turn in &mut turns {",
    },
    Break {
        wrong: "an answer is stored under a second number",
        file: SPEAKING,
        right: "turn.heard = heard;",
        broken: "turn.heard = heard;\n        turn.turn = self.take_turn();",
    },
    Break {
        wrong: "heard is what was sent",
        file: SPEAKING,
        right: "heard_words(self.played), Some(self.played.clamp(turn.start, turn.end))",
        broken: "heard_words(self.played), Some(turn.end)",
    },
    Break {
        wrong: "audio that is played again is metered again",
        file: SPENDING,
        right: "((bytes / 2) as u32).saturating_sub(self.replayable)",
        broken: "(bytes / 2) as u32",
    },
    Break {
        wrong: "an agent hears each sample twice",
        file: HEARING,
        right: "            self.tell_agent(AgentInput::Audio { position, samples });",
        broken: "            self.tell_agent(AgentInput::Audio { position, samples });\n            \
                 self.tell_agent(AgentInput::Audio { position, samples });",
    },
    Break {
        wrong: "audio is heard before it is paid for",
        file: HEARING,
        right: "if !self.purse.allows(self.tab.reach_with(metered) + self.kept()) {",
        broken: "if metered == u32::MAX {",
    },
    Break {
        wrong: "a request is made that the store does not know to be exposed",
        file: SPENDING,
        right: "                || !self.purse.exposes(exposed)\n",
        broken: "",
    },
    Break {
        wrong: "what a request used stands in the ledger twice",
        file: TAB,
        right: "self.rows.push(LedgerRow { turn, request_id: spent.request_id.clone(), ..row });",
        broken: "let again = format!(\"{} again\", row.key);\n                self.rows.push(LedgerRow { key: again, ..row.clone() });\n                self.rows.push(LedgerRow { turn, request_id: spent.request_id.clone(), ..row });",
    },
    Break {
        wrong: "nobody says that there is no more money",
        file: SPENDING,
        right: "self.write(BUDGET_NOTICE.to_owned());",
        broken: "",
    },
    Break {
        wrong: "a text is committed with what was said before it",
        file: HEARING,
        right: "self.reading = Some(mark);",
        broken: "self.take_message(mark);",
    },
    Break {
        wrong: "late words have a turn of their own",
        file: BEGUN,
        right: "self.goes_on = self.understood.back().map(|understood| understood.turn);",
        broken: "self.goes_on = None;",
    },
    Break {
        wrong: "a turn has its number with its words, and not when speech begins",
        file: BEGUN,
        right: "if self.begun.len() < BEGUN_MAX {",
        broken: "if self.begun.len() > BEGUN_MAX {",
    },
    Break {
        wrong: "an answer that was flushed is sent on",
        file: SPEAKING,
        right: "self.shorten_answer();\n            self.finish_answer();",
        broken: "self.shorten_answer();",
    },
    Break {
        wrong: "the sound of an answer is sent twice",
        file: ANSWER,
        right: "self.waiting.extend(&samples[..samples.len().min(room)]);",
        broken: "self.waiting.extend(&samples[..samples.len().min(room)]);\n        \
                 self.waiting.extend(&samples[..samples.len().min(room)]);",
    },
    Break {
        wrong: "an answer that is held is sent on",
        file: ANSWER,
        right: "if self.held_since.is_some() || !self.has_frame(now) || self.plays_at > now + LEAD {",
        broken: "if !self.has_frame(now) || self.plays_at > now + LEAD {",
    },
    Break {
        wrong: "an answer that is over stays held at the page",
        file: SPEAKING,
        right: "if answer.hold(self.now, false, self.played) {\n            self.outputs",
        broken: "answer.hold(self.now, false, self.played);\n        if false {\n            self.outputs",
    },
    Break {
        wrong: "a tool is run before its call is stored",
        file: TOOLS,
        right: "self.outputs.push_back(Output::NoteTool(ToolNote::Called { called, turn }));",
        broken: "let call_id = called.call_id.clone();\n        self.run_tool(&call_id);\n        \
                 self.outputs.push_back(Output::NoteTool(ToolNote::Called { called, turn }));",
    },
    Break {
        wrong: "a model is told nothing of a call that still runs",
        file: MEMORY,
        right: "messages.extend(calls.iter().map(Call::message));",
        broken: "messages.extend(calls.iter().filter(|call| call.output.is_some()).map(Call::message));",
    },
    Break {
        wrong: "what came of a call is told of another one",
        file: MEMORY,
        right: "calls.flatten().find(|call| call.call_id == call_id)",
        broken: "calls.flatten().find(|call| call.output.is_none())",
    },
    Break {
        wrong: "what nobody heard stays of an answer, and a model is told that it said so",
        file: ANSWER,
        right: "        if self.turn.end == self.turn.start || self.pieces.is_empty() {",
        broken: "        if self.turn.end >= self.turn.start {",
    },
    Break {
        wrong: "an answer begins before the one before it is over",
        file: CONVERSATION,
        right: "if !self.wants_to_think || self.is_speaking() || self.is_parting {",
        broken: "if !self.wants_to_think || self.is_parting {",
    },
    Break {
        wrong: "a model is asked while the user goes on speaking",
        file: CONVERSATION,
        right: "if self.question_waits() {",
        broken: "if false {",
    },
    Break {
        wrong: "what is said while an answer may not be interrupted has no answer",
        file: UNDERSTANDING,
        right: "self.outbox.push(AgentOutput::Said { text, start, end, words_end });\n        self.wants_to_think = true;",
        broken: "self.outbox.push(AgentOutput::Said { text, start, end, words_end });\n        \
                 self.wants_to_think = !self.outbox.is_answering();",
    },
    Break {
        wrong: "a model is not told what the user has said, and answers something else",
        file: UNDERSTANDING,
        right: "self.memory.user_said(&text);\n        self.outbox.push(AgentOutput::Said {",
        broken: "self.outbox.push(AgentOutput::Said {",
    },
    Break {
        wrong: "a cough interrupts an answer",
        file: UNDERSTANDING,
        right: "Decision::Hold => self.outbox.push(AgentOutput::Hold(true)),",
        broken: "Decision::Hold => self.interrupt(),",
    },
    Break {
        wrong: "a voice is paid for more than it was given to say",
        file: PIECE,
        right: "return Some(Quantity::Characters(self.characters()));",
        broken: "return Some(Quantity::Characters(self.characters() + 1));",
    },
    Break {
        wrong: "a sentence whose voice breaks off ends there",
        file: PIECE,
        right: "            self.break_off(pace, rate);",
        broken: "            self.break_off(pace, rate);\n            self.stage = Stage::Complete;",
    },
    Break {
        wrong: "another voice goes on behind words that nobody has spoken",
        file: PIECE,
        right: "pace.reaches(&self.spoken, end.saturating_sub(before), rate)",
        broken: "pace.reaches(&self.spoken, 8 * end.saturating_sub(before), rate)",
    },
    Break {
        wrong: "a question is lost that makes way for what is to be said at once",
        file: TENTATIVE,
        right: "self.is_cut_short = is_coming;",
        broken: "self.is_cut_short = is_coming && self.is_parting;",
    },
    Break {
        wrong: "what has reached no model is billed when the user interrupts",
        file: THINKING,
        right: "asked.is_sent.then(|| Quantity::Tokens(estimate(&asked)))",
        broken: "Some(Quantity::Tokens(estimate(&asked)))",
    },
    Break {
        wrong: "a client forgets what a relay has received and not committed",
        file: RECEIVE,
        right: "self.commit(ack.committed);",
        broken: "self.commit(ack.received);",
    },
    Break {
        wrong: "a session refuses its own client, whose token is not known yet",
        file: POLICY,
        right: "visitor.token.clone_from(&resume.resume_token);",
        broken: "let _ = resume;",
    },
    Break {
        wrong: "a session whose client never comes back does not end",
        file: POLICY,
        right: "                    self.phase = Phase::Ending(code);\n                }\n                self.push(Output::Stop(code));",
        broken: "                    self.phase = Phase::Ending(code);\n                }",
    },
    Break {
        wrong: "a session that has ended writes that its client is away",
        file: JOURNAL,
        right: "if *attached == self.attached || self.is_ending => return,",
        broken: "if *attached == self.attached => return,",
    },
    Break {
        wrong: "what could not be written is not written again",
        file: JOURNAL,
        right: "Err(Failure { kind: FailureKind::Away, why }) => return self.handle_away(begun, why),",
        broken: "Err(Failure { kind: FailureKind::Away, why }) => {\n                self.waiting.pop_front();\n                return self.handle_away(begun, why);\n            }",
    },
    Break {
        wrong: "what a killed relay has metered is metered again by the next one",
        file: BEGINNING,
        right: "            replayable: row.replayable_samples,",
        broken: "            replayable: 0,",
    },
    Break {
        wrong: "nobody is given back what a recogniser bills less",
        file: LATE,
        right: "        std::mem::take(&mut self.late.credits)",
        broken: "        self.late.credits.clear();\n        Vec::new()",
    },
    Break {
        wrong: "what the user was not charged for is given back, too",
        file: LATE,
        right: "charged.saturating_sub(billed.samples).min(difference.unsigned_abs())",
        broken: "charged.max(difference.unsigned_abs()).min(difference.unsigned_abs())",
    },
    Break {
        wrong: "what is said twice is given back twice",
        file: BOOKS,
        right: "self.credits.contains_key(&key)",
        broken: "self.credits.get(&key).is_some_and(|_| false)",
    },
    Break {
        wrong: "a model is asked again and again, and nothing is answered",
        file: CONVERSATION,
        right: "(self.wants_to_think, self.asks_at_once) = (false, false);",
        broken: "self.asks_at_once = false;",
    },
    Break {
        wrong: "more is spent than was set aside",
        file: PURSE,
        right: "cost <= self.authorised",
        broken: "cost <= self.caps.session.max(self.authorised)",
    },
];

/// Calls that are made with each rule broken, if nobody says how many: most rules need far fewer.
pub(crate) const CALLS: u64 = 20_000;

/// Breaks one rule after another in a copy of the sources, makes `calls` simulated calls with each, and prints which call noticed. Returns how many
/// rules that were.
///
/// # Errors
/// When no call notices a rule that is broken, or one cannot be broken: the error says which.
pub(crate) fn run_all(calls: u64) -> Result<usize> {
    let copy = step("a copy of the sources", copy_sources)?;
    println!("{:<72} {:<44} found by seed", "broken", "where");
    let mut missed = 0;
    for each in &BREAKS {
        let file = copy.join(each.file);
        let right = fs::read_to_string(&file)?;
        let broken = each.apply(&right)?;
        fs::write(&file, broken)?;
        let found = step(each.wrong, || find(&copy, calls));
        fs::write(&file, right)?;
        let found = found?.map_or("none".to_owned(), |seed| seed.to_string());
        missed += usize::from(found == "none");
        println!("{:<72} {:<44} {found}", each.wrong, each.file);
    }
    if missed > 0 {
        bail!(
            "{missed} of {} were not noticed in {calls} calls: write the proof that each lacks",
            BREAKS.len()
        );
    }
    Ok(BREAKS.len())
}

impl Break {
    /// The file with its rule broken.
    fn apply(&self, source: &str) -> Result<String> {
        if source.matches(self.right).count() != 1 {
            bail!(
                "`{}` does not stand in {} once: how is \"{}\" done there?",
                self.right,
                self.file,
                self.wrong
            );
        }
        Ok(source.replacen(self.right, self.broken, 1))
    }
}

/// What git knows of, as it stands in the working copy.
fn copy_sources() -> Result<PathBuf> {
    let copy = workspace::cache().join("breaks").join("source");
    let advice = "it takes the repository, and not only its files";
    let mut list = Command::new("git");
    let listed = output(list.current_dir(workspace::root()).args(["ls-files", "-z"]), advice)?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (workspace::path(name), copy.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        // What is as it was is not compiled again.
        if fs::read(&to).is_ok_and(|before| before == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        fs::write(to, bytes)?;
    }
    Ok(copy)
}

/// Builds the simulation of the copy, and returns the lowest seed whose call fails.
fn find(copy: &Path, calls: u64) -> Result<Option<u64>> {
    let target = workspace::cache().join("breaks").join("target");
    let mut build = workspace::cargo();
    build.current_dir(copy).env("CARGO_TARGET_DIR", &target);
    run(
        build.args(["build", "--package", "simulation", "--bin", "simulate"]),
        "a broken rule has to compile",
    )?;
    let program = target.join("debug").join(format!("simulate{}", std::env::consts::EXE_SUFFIX));
    let mut simulate = Command::new(program);
    let made = simulate.args(["--calls", &calls.to_string(), "--seed", "1"]).output()?;
    let text = String::from_utf8_lossy(&made.stdout);
    let failed = text.lines().filter_map(|line| line.strip_prefix("seed ")?.split_once(':'));
    Ok(failed.filter_map(|(seed, _)| seed.parse().ok()).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_stands_where_it_is_broken() {
        for each in &BREAKS {
            let source = fs::read_to_string(workspace::path(each.file)).expect("a file of this repository");
            let broken = each.apply(&source).expect("the table follows the code");
            assert_ne!(broken, source);
        }
    }
}
