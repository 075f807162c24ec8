//! The agent of a session, and what it may call.

use ::relay::agent::tool::{Runs, Schema, Tool, Toolbox};
use ::relay::agent::{Agent, Conversation, Echo, Persona};
use ::relay::records::store::{SaidRow, TurnRow};
use ::relay::session::beginning::Beginning;
use audio::Hz;
use protocol::{Mark, Role};

use super::super::World;
use super::GOODBYE;
use crate::scenario::Who;
use crate::talker::Talker;
use crate::voice::SimulatedEars;
use crate::watched::{FILLER, Shared, Watched};

impl World<'_> {
    /// The agent of a session, watched.
    pub(super) fn agent(&mut self, beginning: &Beginning, log: Shared) -> Box<dyn Agent> {
        let Beginning { id, epoch, mark: Mark { position, .. }, .. } = beginning;
        let position = *position;
        let rate = self.scenario.agent_codec.rate();
        let script = self.script.clone();
        let ears = if self.scenario.computed {
            SimulatedEars::computed(log.clone())
        } else {
            SimulatedEars::scripted(script.clone())
        };
        let agent: Box<dyn Agent> = match self.scenario.who {
            Who::Echo => Box::new(
                Echo::with_ears(ears, Hz(rate), position).expect("it speaks at every rate of a codec"),
            ),
            Who::Talker => Box::new(Talker::new(rate, ears, position, self.random.next())),
            Who::Chat | Who::Voice => {
                let rows = self.store.turns(id).into_iter();
                let mut said: Vec<SaidRow> = rows
                    .map(|row| SaidRow { session_id: id.clone(), session_started_at_ms: 0, row })
                    .collect();
                beginning.correct(&mut said);
                let turns = TurnRow::as_said(said.into_iter().map(|said| said.row).collect());
                log.lock().earlier = turns.iter().map(|turn| turn.text.clone()).collect();
                // What the user said last is answered here, should nothing of an answer have been heard.
                if let Some(newest) = turns.iter().rfind(|turn| !turn.text.is_empty())
                    && newest.role == Role::User
                {
                    log.lock().waiting.inherit(self.now, &newest.text);
                }
                let limit_goodbye = GOODBYE.to_owned();
                let mut persona = Persona { max_output_tokens: 16, limit_goodbye, ..Persona::default() };
                if self.scenario.who == Who::Voice {
                    persona.greeting = "Hello. How do you do?".to_owned();
                    persona.longest_turn = std::time::Duration::from_secs(2);
                }
                let team = self.team();
                let agent = Conversation::with_ears(ears, persona, team, rate, position, &turns);
                let agent = if self.scenario.has_tools {
                    agent.with_tools(toolbox(id, *epoch), &self.store.tool_calls(id))
                } else {
                    agent
                };
                Box::new(agent.with_unheard(&beginning.unheard))
            }
        };
        let takes_turns = self.scenario.who.is_conversation();
        Box::new(Watched { agent, takes_turns, log, script })
    }
}

/// What the model may call: one tool that the page runs, and one that a backend runs.
fn toolbox(id: &str, epoch: u32) -> Toolbox {
    let parameters = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    let tool = |name: &str, runs| Tool {
        name: name.to_owned(),
        description: "Does something.".to_owned(),
        parameters: Schema::parse(parameters).expect("a schema"),
        runs,
        deadline: std::time::Duration::from_secs(3),
        max_result_bytes: 100,
    };
    Toolbox {
        tools: vec![tool("look", Runs::Page), tool("book", Runs::Webhook)],
        max_steps: 2,
        filler: FILLER.to_owned(),
        prefix: format!("call_{id}_{epoch}_"),
    }
}
