//! What the user sends: audio, gaps in it and messages of the page, in the order of their numbers.

use audio::decode_s16le_to_i16;
use protocol::{Gap, Mark, Upward};

use super::Call;
use super::committing::Uncommitted;
use crate::agent::AgentInput;
use crate::agent::tool::Runs;
use crate::money::tab::RequestId;

/// How many samples the agent is handed at a time: the usual chunk. They are on the stack, so that a chunk costs no memory of its own.
const BLOCK: usize = 1_600;

impl Call {
    /// Meters audio and hands it to the agent if it is paid for. If it is not, nothing is changed and `false` is returned.
    pub(super) fn handle_audio(&mut self, mark: Mark, payload: &[u8]) -> bool {
        let samples = (payload.len() / 2) as u32;
        let end = mark.position + samples;
        let (fresh, metered) = (self.fresh(payload.len()), self.to_meter(payload.len()));
        if !self.purse.allows(self.tab.reach_with(metered) + self.kept()) {
            return false;
        }
        self.tab.add_samples(metered);
        self.metered_through = self.metered_through.max(end);
        if !self.is_deaf && self.tab.unheard() == 0 {
            self.paid_through = self.metered_through;
        }
        if fresh < samples && !self.has_claimed {
            self.claim();
        }
        self.tab.add_repeated(samples - fresh);
        self.replayable -= samples - fresh;
        let paid = samples - fresh + metered;
        self.add_uncommitted(Uncommitted { mark, paid, metered, counted: metered });
        self.expected = Mark { seq: mark.seq + 1, position: end };
        let (mut position, mut block) = (mark.position, [0; BLOCK]);
        for bytes in payload.chunks(2 * BLOCK) {
            let samples = &mut block[..bytes.len() / 2];
            decode_s16le_to_i16(bytes, samples);
            self.tell_agent(AgentInput::Audio { position, samples });
            position += samples.len() as u32;
        }
        true
    }

    /// The recogniser of this request is there: it hears what nobody has listened to so far.
    pub(super) fn note_listens(&mut self, request: RequestId) {
        let unheard = self.tab.unheard();
        self.tab.listens(request);
        if unheard > self.tab.unheard() {
            self.paid_through = self.metered_through;
        }
    }

    pub(super) fn handle_gap(&mut self, gap: Gap) {
        if gap.to.position > gap.from.position {
            // A client drops its oldest audio, so it holds none of what came before the gap, and plays nothing of it again. What was metered
            // and may still be played again is the end of what was metered.
            self.replayable = self.replayable.min(self.paid_through.saturating_sub(gap.to.position));
            self.uncommitted.iter_mut().for_each(Uncommitted::lose);
            (self.uncommitted_paid, self.uncommitted_metered) = (0, 0);
        }
        self.add_uncommitted(Uncommitted::empty(gap.from));
        self.expected = gap.to;
        self.tell_agent(AgentInput::Gap { position: gap.from.position, end: gap.to.position });
    }

    /// Takes a message of the page. It has a number among the frames, so that it can be committed, and takes no place in the audio.
    pub(super) fn handle_message(&mut self, mark: Mark, message: &Upward) {
        let position = mark.position;
        if let Upward::Text { text } = message {
            // What was said before it ends where it stands, and is stored first: the text is not committed by that.
            self.reading = Some(mark);
            self.tell_agent(AgentInput::Typed { position, text });
            return self.take_text();
        }
        self.take_message(mark);
        match message {
            Upward::Text { .. } => {}
            Upward::Say { text, interrupt } => {
                self.tell_agent(AgentInput::Say { position: Some(position), text, interrupt: *interrupt });
            }
            Upward::ToolResult { call_id, output, is_error } => {
                self.tell_result(call_id, Runs::Page, output, *is_error);
                // A result takes no place in the audio: where nothing waits before it, it can be committed.
                self.commit_alone();
            }
            Upward::Correction { turn, text } => self.correct(*turn, text),
            Upward::Context { text } => self.tell_agent(AgentInput::Context { position, text }),
            Upward::Variables { variables } => {
                self.tell_agent(AgentInput::Variables { position, values: &variables.0 });
            }
        }
    }

    /// A message has come. It may be committed with the frames before it from here on.
    fn take_message(&mut self, mark: Mark) {
        self.add_uncommitted(Uncommitted::empty(mark));
        self.expected = Mark { seq: mark.seq + 1, position: mark.position };
    }

    /// The agent has read a text that came, or does not want it.
    pub(super) fn take_text(&mut self) {
        if let Some(mark) = self.reading.take() {
            self.take_message(mark);
        }
    }
}
