//! Gathers what is recorded of a turn: the words, the requests, what they cost, the tools, how long the stages took. It is told the time, asks
//! nobody, and keeps what one turn may have and no more.

use std::mem;

use protocol::{Latency, Role, Time};

use crate::agent::tool::{Called, ToolNote, ToolOutput};
use crate::call;
use crate::money::ledger::LedgerRow;
use crate::money::tab::RequestId;
use crate::provider::Service;
use crate::session::machine::Traced;

/// The most requests, calls of tools and answers that are kept of a turn. What is beyond is in the ledger and in the record.
const MOST: usize = 64;
/// The most bytes of words in an attribute, with the mark behind what is cut off.
const WORDS: usize = 8 * 1024;
const CUT_OFF: &str = "…";

/// How a request or a call of a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Whole,
    GivenUp,
    /// What kind of failure it was.
    Failed(&'static str),
}

/// A request of a model or a voice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    /// The provider, as a place among the agent's providers.
    pub(super) provider: usize,
    pub(super) service: Service,
    pub(super) opened: Time,
    pub(super) ended: Option<(Time, Ended)>,
    pub(super) rows: Vec<LedgerRow>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) call_id: String,
    pub(super) name: String,
    /// What it was given, and nothing where no words are to be told.
    pub(super) arguments: String,
    pub(super) began: Time,
    pub(super) ended: Option<(Time, Ended)>,
    /// What it gave, and nothing where no words are to be told.
    pub(super) output: String,
}

/// What the user said and what the agent said to that, or what the agent said by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    pub(super) user: Option<call::Turn>,
    /// When the user's words were understood: the newest of them, since a recogniser that streams understands them bit by bit.
    pub(super) understood: Option<Time>,
    /// The agent's answers, each as it was stored last.
    pub(super) answers: Vec<call::Turn>,
    pub(super) latency: Option<Latency>,
    pub(super) asked: Vec<Asked>,
    pub(super) ran: Vec<Ran>,
    /// What hearing it has cost.
    pub(super) heard: Vec<LedgerRow>,
    /// The provider that heard it, as a place among the agent's providers.
    pub(super) hears: Option<usize>,
    pub(super) is_interrupted: bool,
    /// Since when it is over: its answer was heard to its end or cut off, and nobody is asked any more.
    over: Option<Time>,
}

/// The turn that goes on, and who hears the user.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    turn: Turn,
    /// Whether words are to be told.
    has_content: bool,
    hears: Option<usize>,
    /// The newest turn of the user, and the newest of the agent, that is in a turn that has ended: what is stored of those once more comes late.
    through: [Option<u32>; 2],
}

/// As many of these words as an attribute has, with a mark where the rest is cut off.
pub(super) fn cut(mut words: String) -> String {
    if words.len() > WORDS {
        words.truncate(words.floor_char_boundary(WORDS - CUT_OFF.len()));
        words.push_str(CUT_OFF);
        words.shrink_to_fit();
    }
    words
}

impl Gathering {
    /// Nothing has happened yet.
    pub(super) fn new(has_content: bool) -> Gathering {
        Gathering { has_content, ..Gathering::default() }
    }

    /// A provider is asked.
    pub(super) fn asked(&mut self, now: Time, request: RequestId, provider: usize, service: Service) {
        if service == Service::SpeechToText {
            self.hears = Some(provider);
        }
        if self.turn.asked.len() < MOST {
            let (ended, rows) = (None, Vec::new());
            self.turn.asked.push(Asked { request, provider, service, opened: now, ended, rows });
        }
    }

    /// A request is over.
    pub(super) fn ended(&mut self, now: Time, request: RequestId, ended: Ended) {
        let mut asked = self.turn.asked.iter_mut().filter(|asked| asked.ended.is_none());
        if let Some(asked) = asked.find(|asked| asked.request == request) {
            asked.ended = Some((now, ended));
        }
        self.look_whether_it_is_over(now);
    }

    /// It is known how long the answer took.
    pub(super) fn answered(&mut self, latency: Latency) {
        let [_, agents] = self.through;
        if Some(latency.turn) > agents {
            self.turn.latency = Some(latency);
        }
    }

    /// The answer was cut off.
    pub(super) fn interrupted(&mut self) {
        self.turn.is_interrupted = true;
    }

    /// Something was recorded. Returns the turn that ends with that.
    pub(super) fn recorded(&mut self, now: Time, traced: Traced) -> Option<Turn> {
        match traced {
            Traced::Turns(turns) => {
                let mut before = None;
                for turn in turns {
                    before = self.stored(now, turn).or(before);
                }
                self.look_whether_it_is_over(now);
                before
            }
            Traced::Tool(ToolNote::Called { called, .. }) => {
                self.called(now, called);
                None
            }
            Traced::Tool(ToolNote::Output { call_id, output }) => {
                self.came(now, &call_id, output);
                None
            }
            Traced::Rows(rows) => {
                rows.into_iter().for_each(|row| self.spent(row));
                // What the last requests of a turn have cost may come behind its end.
                self.turn.over.is_some().then(|| self.part(None))
            }
        }
    }

    /// Nothing more comes. Returns the turn that was going on.
    pub(super) fn finish(&mut self) -> Option<Turn> {
        Some(mem::take(&mut self.turn)).filter(Turn::is_something)
    }

    fn stored(&mut self, now: Time, turn: call::Turn) -> Option<Turn> {
        let [users, agents] = self.through;
        match turn.role {
            Role::User if Some(turn.turn) <= users => None,
            Role::User => {
                let is_same = self.turn.user.as_ref().is_none_or(|user| user.turn == turn.turn);
                // An answer that the agent gave by itself is a turn of its own.
                let is_begun = self.turn.answers.iter().any(|answer| answer.turn < turn.turn);
                let is_next = !is_same || (self.turn.user.is_none() && is_begun);
                let before = is_next.then(|| self.part(Some(turn.turn)));
                if self.turn.user.is_none() {
                    self.turn.hears = self.hears;
                }
                if self.turn.is_understood_by(&turn) {
                    self.turn.understood = Some(now);
                }
                self.turn.user = Some(turn);
                before.filter(Turn::is_something)
            }
            Role::Agent | Role::Unknown if Some(turn.turn) <= agents => None,
            Role::Agent | Role::Unknown => {
                let answers = &mut self.turn.answers;
                if let Some(place) = answers.iter().position(|answer| answer.turn == turn.turn) {
                    answers[place] = turn;
                } else if answers.len() < MOST {
                    answers.push(turn);
                }
                None
            }
        }
    }

    fn called(&mut self, now: Time, called: Called) {
        if self.turn.ran.len() < MOST {
            let Called { call_id, name, arguments, .. } = called;
            let (arguments, output) = (self.content(arguments), String::new());
            self.turn.ran.push(Ran { call_id, name, arguments, began: now, ended: None, output });
        }
    }

    /// Something has come of a call of a tool.
    fn came(&mut self, now: Time, call_id: &str, output: ToolOutput) {
        let given = self.content(output.output);
        let mut ran = self.turn.ran.iter_mut().filter(|ran| ran.ended.is_none());
        if let Some(ran) = ran.find(|ran| ran.call_id == call_id) {
            ran.ended = Some((now, if output.is_error { Ended::Failed("tool_error") } else { Ended::Whole }));
            ran.output = given;
        }
        self.look_whether_it_is_over(now);
    }

    /// What is kept of words.
    fn content(&self, words: String) -> String {
        if self.has_content { cut(words) } else { String::new() }
    }

    /// A row goes to the request that it names in its key, `item@epoch.request/unit`; what counts audio is what hearing has cost.
    fn spent(&mut self, row: LedgerRow) {
        let place = row.key.rsplit_once('@').and_then(|(_, place)| place.split_once('/'));
        let request = place.and_then(|(request, _)| request.split_once('.')?.1.parse().ok()).map(RequestId);
        let asked = self.turn.asked.iter_mut().find(|asked| Some(asked.request) == request);
        match asked {
            Some(asked) => asked.rows.push(row),
            None if row.unit.ends_with("sample") && self.turn.heard.len() < MOST => self.turn.heard.push(row),
            None => {}
        }
    }

    /// Ends the turn. What belongs to the next one stays: what was asked behind its end, what is not over, and what was spent for that one.
    fn part(&mut self, next: Option<u32>) -> Turn {
        let mut turn = mem::take(&mut self.turn);
        let [users, agents] = &mut self.through;
        *users = turn.user.as_ref().map(|user| user.turn).max(*users);
        *agents = turn.answers.iter().map(|answer| answer.turn).max().max(*agents);
        let over = turn.over;
        let is_behind = |began: Time| over.is_some_and(|over| began > over);
        let is_for_next = |asked: &Asked| {
            let is_its = asked.rows.iter().any(|row| next.is_some() && row.turn == next);
            is_its || asked.ended.is_none() || is_behind(asked.opened)
        };
        let (behind, asked) = mem::take(&mut turn.asked).into_iter().partition(is_for_next);
        // Of a tool that is not wanted any more nothing may ever come: it does not go on into the next turn.
        let is_later = |ran: &Ran| is_behind(ran.began);
        let (later, ran) = mem::take(&mut turn.ran).into_iter().partition(is_later);
        (self.turn.asked, self.turn.ran) = (behind, later);
        Turn { asked, ran, ..turn }
    }

    fn look_whether_it_is_over(&mut self, now: Time) {
        let Turn { answers, asked, ran, over, .. } = &mut self.turn;
        // A recogniser may hear all of a call.
        let mut asked = asked.iter().filter(|asked| asked.service != Service::SpeechToText);
        let is_idle = asked.all(|asked| asked.ended.is_some()) && ran.iter().all(|ran| ran.ended.is_some());
        if over.is_none() && is_idle && answers.last().is_some_and(|answer| answer.heard.is_some()) {
            *over = Some(now);
        }
    }
}

impl Turn {
    /// Whether the user's turn is understood only with this version of it. A correction says what is known by then in other words: it ends where
    /// the version before ended, and a model was asked or an answer stored behind that.
    fn is_understood_by(&self, version: &call::Turn) -> bool {
        let (Some(user), Some(understood)) = (&self.user, self.understood) else { return true };
        // What was prepared while the user may go on was asked before their last words.
        let is_answer = |asked: &Asked| {
            let is_wanted = asked.opened >= understood || !matches!(asked.ended, Some((_, Ended::GivenUp)));
            asked.service == Service::LanguageModel && is_wanted
        };
        self.answers.is_empty() && (version.end > user.end || !self.asked.iter().any(is_answer))
    }

    fn is_something(&self) -> bool {
        self.user.is_some() || !self.answers.is_empty() || !self.ran.is_empty()
    }
}
