//! How an answer gets to the user: its words as they come, its sound at the pace at which it is heard, and its end.

use protocol::relay::Saying;
use protocol::{AgentState, Role};

use super::answer::Answer;
use super::{Call, Output, Over, Turn, UNCONFIRMED_MAX, millis};
use crate::agent::AgentInput;
use crate::provider::Event;

impl Call {
    /// Appends words to the answer. The first words begin it.
    pub(super) fn add_words(&mut self, text: &str, start: u32, end: u32, last: bool) {
        // Nobody is there any more who could be answered. To an answer that began before that its words belong, as its sound does.
        let is_new = self.answer.as_ref().is_none_or(Answer::is_whole);
        if self.ending.is_some() || self.hung_up.is_some() && is_new {
            return;
        }
        if self.answer.as_ref().is_some_and(Answer::is_whole) {
            self.finish_answer();
        }
        if self.answer.is_none() {
            let mut turn = Turn::new(self.take_turn(), Role::Agent, String::new(), self.spoken, self.spoken);
            if let Some(said) = &mut self.said {
                let words_at = *said.words_at.get_or_insert(self.now);
                turn.latency.stt_ms = Some(said.behind_ms);
                turn.latency.llm_ms = Some(millis(words_at.since(said.at)));
            }
            let mut answer = Answer::new(self.now, self.answers, turn, self.agent.rate());
            answer.hold_back(self.now, self.is_held_back, self.played);
            self.answer = Some(answer);
            self.answers += 1;
            self.change_state(AgentState::Speaking);
        }
        if let Some(answer) = &mut self.answer {
            answer.add_words(text, start, end, last);
        }
        self.tell_words();
    }

    /// Tells the page the answer's words if it is time, and stores them once the agent has given all of them.
    pub(super) fn tell_words(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        if !answer.note_told(self.now) {
            return;
        }
        let (turn, last) = (answer.turn.clone(), answer.is_said());
        self.tell_turn(&turn, last);
        if last && self.answer.as_mut().is_some_and(Answer::note_stored) {
            self.store_turn(turn);
        }
    }

    /// Sends the sound of the answer that is due, and asks the agent for more.
    pub(super) fn speak(&mut self) {
        loop {
            self.tell_words();
            let Some(answer) = &mut self.answer else { return };
            if answer.is_silent() {
                self.finish_answer();
                return self.drain_agent();
            }
            if self.has_room && answer.is_overdue(self.now) {
                // Its end may have come only now.
                if answer.note_end() {
                    self.outputs.push_back(Output::Say(Saying::ReplyEnd));
                }
                self.go_on_without_word();
                return self.drain_agent();
            }
            if !self.has_room || self.ending.is_some() {
                return;
            }
            loop {
                let has_paused = answer.has_paused(self.now);
                let Some(frame) = answer.next_frame(self.now) else { break };
                if has_paused {
                    // Otherwise a client would take the pause for a fault of the line.
                    self.outputs.push_back(Output::Say(Saying::ReplyEnd));
                }
                self.spoken = self.spoken.saturating_add(frame.len() as u32);
                self.outputs.push_back(Output::Speak(frame));
                if let Some(said) = self.said.take_if(|_| answer.is_first_to_answer()) {
                    let (words_at, latency) = (said.words_at.unwrap_or(self.now), &mut answer.turn.latency);
                    latency.tts_ms = Some(millis(said.sound_at.unwrap_or(self.now).since(words_at)));
                    latency.send_ms = said.sound_at.map(|sound_at| millis(self.now.since(sound_at)));
                    latency.total_ms = Some(millis(self.now.since(said.at)).saturating_add(said.behind_ms));
                    let told = Output::Say(Saying::Latency(answer.turn.told_latency()));
                    self.outputs.push_back(told);
                }
            }
            if answer.is_sent() {
                if answer.note_end() {
                    self.outputs.push_back(Output::Say(Saying::ReplyEnd));
                }
                return;
            }
            let (samples, had) = (answer.wanted(self.now), answer.is_whole());
            if samples == 0 {
                return;
            }
            let waiting = answer.waiting();
            self.tell_agent(AgentInput::Room { samples });
            let Some(answer) = &mut self.answer else { return };
            if answer.waiting() <= waiting && answer.is_whole() == had {
                return answer.note_awaited();
            }
        }
    }

    /// A provider says this: it may be the first words or the first sound of the answer to what the user said last.
    pub(super) fn note_came(&mut self, event: &Event) {
        // What comes while another answer goes on may be of that one.
        let is_its = self.answer.as_ref().is_none_or(Answer::is_first_to_answer);
        let Some(said) = self.said.as_mut().filter(|_| is_its) else { return };
        match event {
            Event::Text(_) => said.words_at = said.words_at.or(Some(self.now)),
            Event::Sound(_) if said.words_at.is_some() => said.sound_at = said.sound_at.or(Some(self.now)),
            _ => {}
        }
    }

    /// Notes how far the user has heard the agent, and finishes an answer that was heard to its end.
    pub(super) fn handle_played(&mut self, position: u32) {
        self.played = self.played.max(position).min(self.spoken);
        let (now, played) = (self.now, self.played);
        if let Some(answer) = &mut self.answer
            && answer.note_heard(now, played)
        {
            self.outputs.push_back(Output::Say(Saying::Latency(answer.turn.told_latency())));
        }
        if self.answer.as_ref().is_some_and(|answer| answer.is_sent() && answer.is_heard(played)) {
            self.finish_answer();
            self.drain_agent();
        }
        while let Some(answer) = self.unconfirmed.pop_front_if(|answer| answer.is_heard(played)) {
            let mut turn = answer.turn;
            turn.heard = Some(turn.end);
            self.store_turn(turn);
        }
    }

    /// The link takes more of the agent's audio, or no more: it is slow, or nobody is there.
    pub(super) fn handle_room(&mut self, has_room: bool) {
        let is_back = has_room && !self.has_room;
        self.has_room = has_room;
        if let Some(answer) = self.answer.as_mut().filter(|_| is_back) {
            answer.wait_for_the_rest(self.now, self.played);
        }
    }

    /// Holds the answer where it is, at the client as well, or lets it go on there.
    pub(super) fn hold(&mut self, held: bool) {
        let (now, played) = (self.now, self.played);
        if self.answer.as_mut().is_some_and(|answer| answer.hold(now, held, played)) {
            self.outputs.push_back(Output::Say(Saying::Hold(held)));
        }
    }

    /// The page holds the agent's sound back, or lets it go on: until then the answer stands still here as well.
    pub(super) fn handle_held_back(&mut self, held_back: bool) {
        let (now, played) = (self.now, self.played);
        if let Some(answer) = &mut self.answer {
            answer.hold_back(now, held_back, played);
        }
        self.put_on_hold(self.is_muted, held_back);
    }

    /// Who is muted and holds the agent's sound back has put the call on hold.
    pub(super) fn put_on_hold(&mut self, muted: bool, held_back: bool) {
        let was_on_hold = self.is_muted && self.is_held_back;
        (self.is_muted, self.is_held_back) = (muted, held_back);
        if (muted && held_back) != was_on_hold {
            self.tell_agent(AgentInput::OnHold(muted && held_back));
        }
    }

    /// The page noticed that the user speaks over the agent, and may have fallen silent already. It waits for a word about that: an agent that
    /// lets its answer go on, because it may not be interrupted or takes no notice, has it told so.
    pub(super) fn handle_barge_in(&mut self) {
        self.tell_agent(AgentInput::BargeIn);
        if !self.answer.as_ref().is_some_and(Answer::is_held) {
            self.outputs.push_back(Output::Say(Saying::Hold(false)));
        }
    }

    /// Drops the answer where it is, at the client as well.
    pub(super) fn cut(&mut self) {
        if let Some(answer) = &mut self.answer {
            // The client holds nothing after a flush.
            answer.hold(self.now, false, self.played);
            self.outputs.push_back(Output::Say(Saying::Flush));
            // Once it knows that this answer is over, the agent may ask a model with all that was said before.
            self.take_back_unconfirmed();
            self.shorten_answer();
            self.finish_answer();
        }
    }

    /// The client was slow to say how far the answer was heard, or says nothing: the agent goes on as if all of it was.
    fn go_on_without_word(&mut self) {
        if self.unconfirmed.len() == UNCONFIRMED_MAX {
            self.unconfirmed.pop_front();
        }
        let answer = self.answer.clone();
        let heard = answer.as_ref().map_or(0, |answer| answer.turn.text.len());
        self.unconfirmed.extend(answer);
        self.end_answer(heard, None);
    }

    /// The user says something while the agent takes all of its answers for heard. A client that was slow to say so may still play them, or go on
    /// with them when its loudspeaker does: it is told to stop, as in an answer that is being given. Who has never said that anything was played
    /// may have no loudspeaker, and plays nothing.
    pub(super) fn drop_unconfirmed(&mut self) {
        let may_play = self.answer.is_none() && self.ending.is_none() && self.played > 0;
        let Some(oldest) = self.unconfirmed.front().filter(|_| may_play) else { return };
        let is_heard = self.played > oldest.turn.start;
        self.outputs.push_back(Output::Say(Saying::Flush));
        if is_heard {
            self.take_back_unconfirmed();
        } else {
            // Nothing of them has sounded, and nothing will. The user has answered what there was to read: that is settled, so that no relay which
            // goes on with the call takes the words back.
            for answer in std::mem::take(&mut self.unconfirmed) {
                let heard = Some(answer.turn.start);
                self.store_turn(Turn { heard, ..answer.turn });
            }
        }
    }

    /// Nothing is played any more of answers that were sent long ago: what was not heard of their words was not said, for the agent as well.
    pub(super) fn take_back_unconfirmed(&mut self) {
        for mut answer in std::mem::take(&mut self.unconfirmed) {
            let (number, words) = (answer.number(), answer.turn.text.len());
            answer.shorten(self.played);
            let mut turn = answer.turn;
            if turn.text.len() < words {
                self.over.push_back(Over { answer: number, heard: turn.text.len(), is_known: true });
            }
            turn.heard = Some(self.played.clamp(turn.start, turn.end));
            self.tell_turn(&turn, true);
            self.store_turn(turn);
        }
    }

    /// What was not heard of the answer's words was not said.
    pub(super) fn shorten_answer(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.shorten(self.played);
        }
    }

    /// Ends the answer, heard to its end or not, and stores how far it was heard.
    pub(super) fn finish_answer(&mut self) {
        let Some(answer) = &self.answer else { return };
        let turn = &answer.turn;
        self.end_answer(answer.heard_words(self.played), Some(self.played.clamp(turn.start, turn.end)));
    }

    /// Ends the answer of which the agent is told that so many bytes of its words were heard, and the record up to where.
    fn end_answer(&mut self, words: usize, heard: Option<u32>) {
        let Some(mut answer) = self.answer.take() else { return };
        // Frames that the driver has not taken yet are dropped: sound that was never sent is no part of the agent's timeline.
        let mut untaken = 0;
        self.outputs.retain(|output| match output {
            Output::Speak(frame) => {
                untaken += frame.len() as u32;
                false
            }
            Output::Say(Saying::ReplyEnd) => untaken == 0,
            _ => true,
        });
        self.spoken -= untaken;
        if answer.hold(self.now, false, self.played) {
            self.outputs.push_back(Output::Say(Saying::Hold(false)));
        }
        answer.complete();
        if answer.note_told(self.now) {
            self.tell_turn(&answer.turn, true);
        }
        self.over.push_back(Over { answer: answer.number(), heard: words, is_known: false });
        let is_text = answer.sent() == 0;
        let mut turn = answer.turn;
        if is_text && self.said.take().is_some() {
            let latency = &mut turn.latency;
            latency.total_ms = latency.llm_ms.zip(latency.stt_ms).map(|(llm, stt)| llm.saturating_add(stt));
            self.outputs.push_back(Output::Say(Saying::Latency(turn.told_latency())));
        }
        turn.heard = heard;
        self.store_turn(turn);
        let is_awaited = self.said.is_some();
        self.change_state(if is_awaited { AgentState::Thinking } else { AgentState::Listening });
    }
}
