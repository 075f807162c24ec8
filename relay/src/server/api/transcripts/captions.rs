//! Transcripts as captions (WebVTT): a cue for each turn, which a player shows beside the recording.
//!
//! A transcript has the words that were heard, so captions have no others. When a turn was spoken is not stored to the millisecond: it follows
//! from when the turn was written, from how long its sound is, and from how long the answer took.

use std::sync::Arc;

use protocol::Role;

use super::super::Problem;
use super::super::export::{self, Pages};
use super::Of;
use crate::App;
use crate::records::store::{SaidRow, TurnCursor};

/// How many samples the user's timeline has in a millisecond.
const USERS_RATE: u64 = 16;
/// How many samples the timeline of an agent has in a millisecond. Of one that speaks at 16 kHz, a cue is gone before its last words.
const AGENTS_RATE: u64 = 24;
/// How long a cue is shown at least, in milliseconds: what was typed has no sound.
const SHORTEST_MS: u64 = 1_000;

/// A transcript as captions.
pub(super) struct Captions {
    app: Arc<App>,
    of: Of,
    clock: Clock,
}

/// When turns were spoken, counted from when their first session began.
#[derive(Debug, Default)]
struct Clock {
    /// When the first session began, in milliseconds since 1970.
    origin_ms: Option<i64>,
    /// When the cue before begins. No cue may begin earlier.
    began_ms: u64,
    /// When the user's turn that was not answered yet was written: once it was understood.
    understood_ms: Option<u64>,
}

impl Captions {
    pub(super) fn new(app: Arc<App>, of: Of) -> Captions {
        Captions { app, of, clock: Clock::default() }
    }
}

impl Pages for Captions {
    type Cursor = TurnCursor;

    async fn page(&mut self, after: Option<TurnCursor>) -> Result<(Vec<u8>, Option<TurnCursor>), Problem> {
        let page = self.app.records.store.transcript(self.of.borrow(), after.as_ref(), export::PAGE).await?;
        let mut text = String::new();
        if self.clock.origin_ms.is_none() {
            text.push_str("WEBVTT\n");
        }
        for said in &page.rows {
            text.push_str(&self.clock.cue(said));
        }
        for _ in 0..page.damaged {
            text.push_str("\nNOTE a turn cannot be read\n");
        }
        Ok((text.into_bytes(), page.next))
    }
}

impl Clock {
    /// The cue of a turn. A turn without words has none.
    fn cue(&mut self, said: &SaidRow) -> String {
        let (began_ms, ended_ms) = self.place(said);
        let turn = &said.row.turn;
        let words: Vec<&str> = turn.text.split_whitespace().collect();
        if words.is_empty() {
            return String::new();
        }
        let who = match turn.role {
            Role::User => "User",
            Role::Agent | Role::Unknown => "Agent",
        };
        // A cue ends with an empty line, so line breaks in it become spaces.
        let words = escaped(&words.join(" "));
        format!("\n{} --> {}\n<v {who}>{words}</v>\n", clock_time(began_ms), clock_time(ended_ms))
    }

    /// When a turn begins and ends, in milliseconds.
    fn place(&mut self, said: &SaidRow) -> (u64, u64) {
        let turn = &said.row.turn;
        let origin_ms = *self.origin_ms.get_or_insert(said.session_started_at_ms);
        let written_ms = u64::try_from(said.row.created_at_ms.saturating_sub(origin_ms)).unwrap_or_default();
        let lasts_ms = |until: u32, rate: u64| u64::from(until.saturating_sub(turn.start)) / rate;
        let (began_ms, lasts_ms) = match turn.role {
            Role::User => {
                self.understood_ms = Some(written_ms);
                let lasts_ms = lasts_ms(turn.end, USERS_RATE);
                (written_ms.saturating_sub(lasts_ms), lasts_ms)
            }
            Role::Agent | Role::Unknown => {
                // Both stages are counted from the end of what the user said.
                let behind_ms = turn.latency.total_ms.zip(turn.latency.stt_ms);
                let behind_ms = behind_ms.map(|(total, stt)| u64::from(total.saturating_sub(stt)));
                let answers_ms = self.understood_ms.take().zip(behind_ms);
                let began_ms = answers_ms.map_or(written_ms, |(understood, behind)| understood + behind);
                (began_ms, lasts_ms(turn.heard.unwrap_or(turn.end).min(turn.end), AGENTS_RATE))
            }
        };
        self.began_ms = self.began_ms.max(began_ms);
        (self.began_ms, self.began_ms + lasts_ms.max(SHORTEST_MS))
    }
}

/// A time as WebVTT has it, such as `00:01:02.345`.
fn clock_time(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A text in which a player sees no tags. Without `>` there is no `-->` in it either, which would begin another cue.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Latency, Turn};
    use crate::records::store::TurnRow;

    fn said(role: Role, text: &str, (start, end): (u32, u32), created_at_ms: i64) -> SaidRow {
        let turn = Turn {
            turn: 0,
            role,
            text: text.to_owned(),
            start,
            end,
            heard: None,
            latency: Latency::default(),
            revision: 0,
        };
        let row = TurnRow { turn, created_at_ms };
        SaidRow { session_id: "a".to_owned(), session_started_at_ms: 1_000, row }
    }

    #[test]
    fn a_turn_of_the_user_ends_when_it_is_written_and_its_answer_begins_as_late_as_was_measured() {
        let mut clock = Clock::default();
        let user = said(Role::User, "What time\n is it?", (0, 32_000), 6_000);
        assert_eq!(clock.cue(&user), "\n00:00:03.000 --> 00:00:05.000\n<v User>What time is it?</v>\n");
        let mut agent = said(Role::Agent, "Noon.", (24_000, 120_000), 6_900);
        agent.row.turn.latency = Latency { stt_ms: Some(200), total_ms: Some(900), ..Latency::default() };
        agent.row.turn.heard = Some(72_000);
        let expected = "\n00:00:05.700 --> 00:00:07.700\n<v Agent>Noon.</v>\n";
        assert_eq!(clock.cue(&agent), expected, "as far as it was heard");
        let more = said(Role::Agent, "Are you there?", (120_000, 120_000), 3_601_000);
        assert_eq!(clock.cue(&more), "\n01:00:00.000 --> 01:00:01.000\n<v Agent>Are you there?</v>\n");
    }

    #[test]
    fn no_cue_begins_before_the_one_before_it_and_none_is_without_words() {
        let mut clock = Clock::default();
        clock.cue(&said(Role::Agent, "Hello.", (0, 24_000), 9_000));
        let late = clock.cue(&said(Role::User, "Hi.", (0, 160_000), 9_500));
        assert!(late.starts_with("\n00:00:08.000 --> 00:00:18.000\n"), "{late}");
        assert_eq!(clock.cue(&said(Role::Agent, " \n", (24_000, 24_000), 9_000)), "");
        let early = clock.cue(&said(Role::User, "Oh.", (0, 16_000), 0));
        assert!(early.starts_with("\n00:00:08.000 --> 00:00:09.000\n"), "{early}");
    }

    #[test]
    fn what_was_said_is_no_markup() {
        let cue = Clock::default().cue(&said(Role::User, "<b>&\n\n00:00 --> 00:01", (0, 0), 1_000));
        assert!(cue.ends_with("\n<v User>&lt;b&gt;&amp; 00:00 --&gt; 00:01</v>\n"), "{cue}");
    }
}
