//! What the agent is told, and what is done of whatever it wants then.

use protocol::relay::Saying;
use protocol::{Ability, AgentState, Degraded, Mark, Role};

use super::{Call, Output, Over, Said, Turn, Wanted, What};
use crate::NanoUsd;
use crate::agent::tool::ToolNote;
use crate::agent::{AgentInput, AgentOutput};
use crate::money::bill::Quantity;
use crate::money::tab::Spent;
use crate::provider::Ask;

impl Call {
    /// Tells the agent something, and does what the agent wants then.
    pub(super) fn tell_agent(&mut self, input: AgentInput<'_>) {
        self.agent.handle_input(self.now, input);
        self.drain_agent();
    }

    /// Does what the agent wants, and then tells it which of its answers are over, until neither is left.
    pub(super) fn drain_agent(&mut self) {
        loop {
            while let Some(output) = self.agent.poll_output() {
                self.handle_agent_output(output);
            }
            let Some(Over { answer, heard, is_known }) = self.over.pop_front() else { return };
            let over = match is_known {
                true => AgentInput::TakenBack { answer, heard },
                false => AgentInput::AnswerOver { answer, heard },
            };
            self.agent.handle_input(self.now, over);
        }
    }

    /// Does one thing that the agent wants.
    fn handle_agent_output(&mut self, output: AgentOutput) {
        match output {
            AgentOutput::SpeechStarted { .. } => self.change_state(AgentState::Listening),
            AgentOutput::TurnBegan { at } => self.begin_turn(at),
            AgentOutput::TurnDropped { at } => self.drop_turn(at),
            AgentOutput::Partial { text, start, end, final_through } => {
                // Words of a turn, and no sign that the user listens: while no answer is given, they are an interruption.
                self.drop_unconfirmed();
                let turn = Turn::new(self.worded_turn(start), Role::User, text, start, end);
                self.tell_turn(&turn, false);
                if let Some(through) = final_through {
                    self.settle_before(through);
                    self.raise(through);
                    self.note_stored(turn.turn);
                    self.push_turn(turn);
                }
            }
            AgentOutput::TurnGoesOn => self.go_on_with_turn(),
            AgentOutput::Said { text, start, end, words_end } => {
                self.drop_unconfirmed();
                self.begin_to_answer(words_end);
                self.user_spoke(text, start, end);
                self.think();
            }
            AgentOutput::Typed { text, position } => {
                self.drop_unconfirmed();
                self.begin_to_answer(position);
                let mark = Mark { position, ..self.reading.unwrap_or(self.expected) };
                self.take_text();
                self.user_typed(text, mark);
                self.think();
            }
            AgentOutput::Remarked { text, start, end } => self.user_spoke(text, start, end),
            AgentOutput::Final { through } => self.raise_committable(through),
            AgentOutput::Dropped { kept, end } => {
                let ungiven = self.expected.position.saturating_sub(end);
                self.give_up_unheard(kept.saturating_add(ungiven));
            }
            AgentOutput::Words { text, start, end, last } => self.add_words(&text, start, end, last),
            AgentOutput::Sound(samples) => {
                if let Some(answer) = &mut self.answer {
                    answer.add_sound(&samples);
                }
            }
            AgentOutput::Spoken { bytes, end } => {
                if let Some(answer) = &mut self.answer {
                    answer.note_spoken(bytes, end);
                }
            }
            AgentOutput::AnswerEnd => {
                if let Some(answer) = &mut self.answer {
                    answer.complete();
                }
            }
            AgentOutput::Hold(held) => self.hold(held),
            AgentOutput::Cut => self.cut(),
            AgentOutput::FalseInterruption => self.outputs.push_back(Output::FalseInterruption),
            // Nobody is there any more for whom it could be called.
            AgentOutput::CallTool(_) if self.hung_up.is_some() => {}
            AgentOutput::CallTool(called) => self.call_tool(called),
            AgentOutput::CancelTool { call_id, runs } => self.cancel_tool(call_id, runs),
            AgentOutput::ToolOutput { call_id, output } => {
                self.outputs.push_back(Output::NoteTool(ToolNote::Output { call_id, output }));
            }
            AgentOutput::Degraded { what, degraded } => {
                if what == Ability::Hearing {
                    self.is_deaf = degraded;
                    if degraded {
                        self.give_up_unheard(0);
                    }
                }
                self.outputs.push_back(Output::Say(Saying::Degraded(Degraded { seq: 0, what, degraded })));
            }
            AgentOutput::Unsaid { text, position } => self.handle_unsaid(text, position),
            AgentOutput::HangUp => self.is_left = true,
            AgentOutput::Trouble(code) => self.outputs.push_back(Output::Trouble(code)),
            // Nobody is there any more who could be answered.
            AgentOutput::Ask { ask: Ask::Chat(_) | Ask::Speak(_), .. } if self.hung_up.is_some() => {}
            AgentOutput::Ask { request, provider, ask, at_most } => {
                let purpose = self.purpose(&ask);
                self.wanted
                    .push_back(Wanted { request, what: What::Open { provider, ask, at_most, purpose } });
            }
            AgentOutput::Feed { request, feed, at_most } => {
                if at_most.is_some() || self.wanted.iter().any(|wanted| wanted.request == request) {
                    self.wanted.push_back(Wanted { request, what: What::Feed { feed, at_most } });
                } else {
                    self.outputs.push_back(Output::Feed { request, feed });
                }
            }
            AgentOutput::Expect(requests) => {
                let costs =
                    requests.iter().map(|(provider, at_most)| self.tab.worst_case(*provider, at_most));
                self.soon = costs.fold(NanoUsd::ZERO, |sum, cost| sum + cost);
            }
            AgentOutput::HoldBack { request, held_back } => {
                self.outputs.push_back(Output::HoldBack { request, held_back });
            }
            AgentOutput::Cancel { request } => {
                self.wanted.retain(|wanted| wanted.request != request);
                self.outputs.push_back(Output::Cancel(request));
            }
            AgentOutput::Spent { request, used, estimated, provider_id } => {
                self.wanted.retain(|wanted| wanted.request != request);
                let spent = Spent { turn: self.users_turn, request_id: provider_id, estimated };
                // Whoever is sent the audio again understands it, and is paid for that by the user.
                let is_put_off = self.puts_off && self.tab.is_hearing(request);
                let used = if is_put_off { used.map(Quantity::repeated) } else { used };
                self.tab.settle(request, used, &spent);
            }
        }
    }

    /// The user waits for an answer from here on.
    fn begin_to_answer(&mut self, words_end: u32) {
        let behind_ms = self.expected.position.saturating_sub(words_end) / 16;
        self.said = Some(Said { at: self.now, behind_ms, words_at: None, sound_at: None });
        self.pace.next_answer(self.tab.requests_cost());
    }

    /// The agent thinks, unless it is giving an answer that may not be interrupted.
    fn think(&mut self) {
        if self.answer.is_none() {
            self.change_state(AgentState::Thinking);
        }
    }

    pub(super) fn change_state(&mut self, state: AgentState) {
        if self.state != state && self.ending.is_none() && self.hung_up.is_none() {
            self.state = state;
            self.outputs.push_back(Output::Say(Saying::Agent(state)));
        }
    }
}
