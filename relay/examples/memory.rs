//! What the memory of a conversation costs: `cargo xtask bench memory`.
//!
//! A conversation of a question and an answer every 15 s goes through the relay's own agent, and each prompt is priced as Anthropic prices
//! it with caching: what a prompt has in common with the one before is read from the cache, the rest is written to it. Beside it stands what
//! the same conversation costs when each turn tells everything, and when the oldest exchange is left out as soon as there are too many.

#![expect(clippy::print_stdout, reason = "this is what the command is for")]

use protocol::Time;
use relay::agent::{Agent, AgentInput, AgentOutput, Conversation, Persona, Team};
use relay::money::NanoUsd;
use relay::money::bill::{ItemPrice, Quantity, TokenUsage};
use relay::money::price::PriceTable;
use relay::money::tab::RequestId;
use relay::provider::{Answer, Ask, Event, Finish, Message};
use serde_json::json;

/// What the model costs: a line of the shipped table.
const MODEL: &str = "anthropic/claude-haiku-5-5";
/// A day on which that line is valid, in milliseconds since 1970: 2026-11-01.
const DAY_MS: i64 = 1_793_491_200_000;
const EXCHANGES_A_MINUTE: u32 = 4;
const MINUTES: [u32; 6] = [5, 10, 20, 30, 60, 120];
/// Tokens of a question and of an answer: 25 and 45 words.
const QUESTION: usize = 33;
const ANSWER: usize = 60;
const BYTES_PER_TOKEN: usize = 4;
const INSTRUCTIONS: usize = 400;

/// What one way of remembering has cost up to now.
#[derive(Default)]
struct Way {
    /// The texts of the prompt before.
    before: Vec<String>,
    cost: NanoUsd,
    /// The longest prompt, in tokens.
    longest: u64,
}

impl Way {
    fn pay(&mut self, price: &ItemPrice, prompt: Vec<String>) {
        let tokens =
            |texts: &[String]| texts.iter().map(String::len).sum::<usize>().div_ceil(BYTES_PER_TOKEN) as u64;
        let same = prompt.iter().zip(&self.before).take_while(|(now, before)| now == before).count();
        let (cached, written) = (tokens(&prompt[..same]), tokens(&prompt[same..]));
        let usage = TokenUsage { cached, written, output: ANSWER as u64, ..TokenUsage::default() };
        for row in price.rows("", &Quantity::Tokens(usage), false) {
            self.cost += row.cost;
        }
        self.longest = self.longest.max(cached + written);
        self.before = prompt;
    }
}

fn main() {
    let is_json = std::env::args().any(|argument| argument == "--json");
    let price = ItemPrice::model(&PriceTable::shipped(), MODEL, DAY_MS).expect("the shipped table has it");
    let persona = Persona { instructions: "i".repeat(INSTRUCTIONS * BYTES_PER_TOKEN), ..Persona::default() };
    let room = persona.memory_tokens as usize * BYTES_PER_TOKEN;
    let team = Team { models: vec![0], ..Team::default() };
    let instructions = persona.instructions.clone();
    let mut agent = Conversation::new(persona, team, 24_000, 0, &[]);
    let [mut ours, mut all, mut sliding] = [Way::default(), Way::default(), Way::default()];
    let mut said: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for exchange in 0..MINUTES[MINUTES.len() - 1] * EXCHANGES_A_MINUTE {
        let question = text(&format!("question {exchange} "), QUESTION);
        said.push(question.clone());
        agent.handle_input(Time::ZERO, AgentInput::Typed { position: 0, text: &question });
        ours.pay(&price, prompt(&mut agent));
        let told =
            |from: usize| [instructions.clone()].into_iter().chain(said[from..].iter().cloned()).collect();
        all.pay(&price, told(0));
        let exchanges = room / ((QUESTION + ANSWER) * BYTES_PER_TOKEN);
        sliding.pay(&price, told(said.len().saturating_sub(2 * exchanges - 1) & !1));

        let (answer, request) = (text(&format!("answer {exchange} "), ANSWER), RequestId(exchange));
        let finished = Answer { finish: Finish::Complete, usage: None, request_id: None };
        for event in [Event::Text(answer.clone()), Event::Finished(finished)] {
            agent.handle_input(Time::ZERO, AgentInput::Event { request, event: &event });
        }
        agent.handle_input(Time::ZERO, AgentInput::AnswerOver { answer: exchange, heard: answer.len() });
        while agent.poll_output().is_some() {}
        said.push(answer);
        if let Some(minutes) = MINUTES.iter().find(|minutes| **minutes * EXCHANGES_A_MINUTE == exchange + 1) {
            rows.push((*minutes, [&ours, &sliding, &all].map(|way| (usd(way.cost), way.longest))));
        }
    }
    if is_json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(minutes, [ours, sliding, all])| {
                json!({ "minutes": minutes, "usd": ours.0, "longest_prompt": ours.1,
                    "sliding_usd": sliding.0, "everything_usd": all.0, "everything_longest_prompt": all.1 })
            })
            .collect();
        println!("{}", json!({ "model": MODEL, "rows": rows }));
        return;
    }
    println!(
        "{MODEL}, {EXCHANGES_A_MINUTE} exchanges a minute, prompts cached; US cents, and the longest prompt in tokens"
    );
    println!(
        "{:>8}{:>24}{:>28}{:>24}",
        "minutes", "ours", "oldest left out each turn", "everything each turn"
    );
    for (minutes, ways) in rows {
        let [ours, sliding, all] = ways.map(|(usd, longest)| format!("{:.3} ({longest})", usd * 100.0));
        println!("{minutes:>8}{ours:>24}{sliding:>28}{all:>24}");
    }
}

/// What the agent tells its model.
fn prompt(agent: &mut Conversation) -> Vec<String> {
    let mut prompt = Vec::new();
    while let Some(output) = agent.poll_output() {
        let AgentOutput::Ask { ask: Ask::Chat(chat), .. } = output else { continue };
        prompt = chat
            .messages
            .into_iter()
            .map(|message| match message {
                Message::System(text) | Message::User(text) | Message::Assistant { text, .. } => text,
                Message::ToolOutput { output, .. } => output,
            })
            .collect();
    }
    prompt
}

fn text(begin: &str, tokens: usize) -> String {
    let length = tokens * BYTES_PER_TOKEN;
    format!("{begin:x<length$}")
}

fn usd(cost: NanoUsd) -> f64 {
    cost.get() as f64 / 1e9
}
