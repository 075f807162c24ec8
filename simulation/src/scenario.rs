//! What a call is like: drawn from its seed before it begins.

use std::time::Duration;

use protocol::{Codec, Time};
use relay::NanoUsd;
use relay::money::budget::{Caps, TokenCaps};

use crate::random::Random;
use crate::trouble::{Trouble, Without};

/// Money that is enough for any call.
const WIDE: NanoUsd = NanoUsd::new(5_000_000_000);
/// How many of a hundred calls with an agent of another kind are conversations instead: 85 of a hundred calls are then.
const ECHOES_THAT_CONVERSE: u64 = 85;
const TALKERS_THAT_CONVERSE: u64 = 75;
/// Who waits for every answer stays on the line for so long: longer than a turn may wait for its answer.
const LINGERS: Duration = Duration::from_secs(280);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Says back what it hears.
    Echo,
    /// Asks a language model about what is typed.
    Chat,
    /// Hears, asks a language model, and speaks.
    Voice,
    /// Follows a script: thinks, asks, answers in pieces, is interrupted.
    Talker,
}

impl Who {
    /// Whether it is the agent that holds conversations. It knows what was said before another relay had the call, and answers anew what was not
    /// heard.
    pub(crate) fn is_conversation(self) -> bool {
        matches!(self, Who::Chat | Who::Voice)
    }
}

/// How a call ends, as far as it is the user's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The user hangs up.
    HangsUp,
    /// The page is gone, without a word.
    Vanishes,
}

/// A span of time in which something is so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Time,
    pub(crate) to: Time,
}

impl Span {
    pub(crate) fn holds(&self, now: Time) -> bool {
        self.from <= now && now < self.to
    }
}

/// What the database says to a write that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusing {
    /// It says no for a reason that an operator can mend.
    Mendable,
    /// It says no for good.
    ForGood,
}

/// How bad the providers' day is, in a hundred requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Day {
    /// Those that fail somehow.
    pub(crate) faults: u64,
    /// Recognisers and voices that stall.
    pub(crate) stalls: u64,
    /// Those that say the same twice.
    pub(crate) repeats: u64,
    /// Recognisers whose words come after the end of their turn.
    pub(crate) late: u64,
    /// Recognisers that hear all of a call say in the end that they bill other than they were given: most of them, or none.
    pub(crate) misbills: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) who: Who,
    /// A recogniser hears all of the call, and not one utterance at a time.
    pub(crate) is_streamed: bool,
    /// The model may call tools, which the page and a backend run.
    pub(crate) has_tools: bool,
    /// Voice activity is computed from the synthetic sound, and not scripted.
    pub(crate) computed: bool,
    pub(crate) agent_codec: Codec,
    /// Chunks that the user's microphone gives.
    pub(crate) chunks: u32,
    /// Samples of each.
    pub(crate) chunk: u32,
    /// The user stays on the line for so long after the last word, and says nothing.
    pub(crate) lingers: Option<Duration>,
    pub(crate) mute_percent: u64,
    pub(crate) type_percent: u64,
    pub(crate) leave: Leave,
    /// The network is bad.
    pub(crate) bad_network: bool,
    pub(crate) slow_line: bool,
    /// How often in a thousand, at each misfortune's turn, a relay is killed, is stopped, is too slow to let go.
    pub(crate) crash: u64,
    pub(crate) stop: u64,
    /// A relay that is stopped sends its sessions elsewhere first.
    pub(crate) drains: bool,
    /// Relays that share the database.
    pub(crate) relays: usize,
    /// A client that comes back goes to any of them.
    pub(crate) hops: bool,
    /// The database is away.
    pub(crate) away: Vec<Span>,
    /// It does as it is told, and the answer is lost, so often in a hundred, in these times.
    pub(crate) lost_answers: u64,
    /// It refuses writes.
    pub(crate) refuses: Option<(Span, Refusing)>,
    /// Longest time that it takes, in milliseconds.
    pub(crate) store_ms: u64,
    /// The relay's own disk takes nothing.
    pub(crate) disk_full: bool,
    pub(crate) caps: Caps,
    /// Somebody else spends the account's money, so much at a time.
    pub(crate) others: Option<NanoUsd>,
    /// The session is deleted, or ended by an operator, at this time.
    pub(crate) erased: Option<Time>,
    pub(crate) ended: Option<Time>,
    /// How long a token is good.
    pub(crate) token: Duration,
    pub(crate) bad_tokens: u64,
    pub(crate) buffer: Duration,
    pub(crate) resume_window: Duration,
    pub(crate) store_grace: Duration,
    pub(crate) day: Day,
    /// So many of a hundred utterances of the user are coughs.
    pub(crate) coughs: u64,
    /// So often in a hundred chunks the page or an administrator has the agent say something.
    pub(crate) says: u64,
    /// Whether the first model and the one that stands in for it speak Anthropic's dialect, and not OpenAI's.
    pub(crate) is_anthropic: [bool; 2],
    /// A new day and a new month begin soon.
    pub(crate) is_midnight: bool,
    /// The wall clock when the call begins, in milliseconds since 1970.
    pub(crate) begins_ms: i64,
}

impl Scenario {
    /// Most calls are conversations: few are with an agent that says back what it hears, or follows a script. Half of the agents that are asked
    /// in text hear and speak instead, some through a recogniser that hears all of the call. Half of both have tools. Half of the relays that
    /// are stopped send their sessions elsewhere first.
    pub(crate) fn with_voices(mut self, random: &mut Random) -> Scenario {
        if self.who == Who::Chat && random.percent(50) {
            self.who = Who::Voice;
            self.is_streamed = random.percent(60);
        }
        self.has_tools = self.who.is_conversation() && random.percent(50);
        let asks_a_model = self.who.is_conversation();
        self.lingers = (asks_a_model && random.percent(35)).then_some(LINGERS);
        self.drains = self.stop > 0 && random.percent(50);
        self
    }

    /// The same as a conversation, if it is one of the many that are: what was drawn for it stays, but for who answers.
    pub(crate) fn with_more_conversations(mut self, random: &mut Random) -> Scenario {
        let converts = match self.who {
            Who::Echo => random.percent(ECHOES_THAT_CONVERSE),
            Who::Talker => random.percent(TALKERS_THAT_CONVERSE),
            Who::Chat | Who::Voice => false,
        };
        if !converts {
            return self;
        }
        self.who = if random.percent(50) { Who::Voice } else { Who::Chat };
        self.is_streamed = self.who == Who::Voice && random.percent(60);
        self.has_tools = random.percent(50);
        self.lingers = random.percent(30).then_some(LINGERS);
        if self.who == Who::Chat {
            // What is typed is drawn with each chunk.
            self.type_percent = self.type_percent.max(if self.chunk < 320 { 1 } else { 5 });
        }
        self
    }

    /// What else goes wrong in a conversation: providers that stall, repeat themselves or are late, users who cough, models of another dialect.
    /// Each is drawn whatever the others are.
    pub(crate) fn with_troubles(mut self, random: &mut Random) -> Scenario {
        let mut sometimes = |percent, most| {
            let (happens, how_often) = (random.percent(percent), random.between(2, most));
            if happens { how_often } else { 0 }
        };
        let (stalls, repeats, late) = (sometimes(25, 30), sometimes(25, 40), sometimes(25, 60));
        let (coughs, only_coughs) = (sometimes(35, 60), sometimes(8, 2) > 0);
        let is_anthropic = sometimes(50, 2) > 0;
        if !self.who.is_conversation() {
            return self;
        }
        self.is_anthropic = [is_anthropic, !is_anthropic];
        if self.who == Who::Voice {
            self.day = Day { stalls, repeats, late, ..self.day };
            self.coughs = if only_coughs { 100 } else { coughs };
        }
        self
    }

    /// In some conversations the agent is told to say something, by the page or by an administrator.
    pub(crate) fn with_words_to_say(mut self, random: &mut Random) -> Scenario {
        let (happens, how_often) = (random.percent(30), random.between(1, 12));
        if happens && self.who.is_conversation() {
            // It is drawn with each chunk.
            self.says = if self.chunk < 320 { 1 } else { how_often };
        }
        self
    }

    /// The same call without these kinds of trouble.
    pub(crate) fn without(mut self, without: &Without) -> Scenario {
        let out = |kind| without.leaves_out(kind);
        if out(Trouble::Network) {
            (self.bad_network, self.slow_line) = (false, false);
        }
        if out(Trouble::Relays) {
            (self.crash, self.stop, self.drains) = (0, 0, false);
        }
        if out(Trouble::Store) {
            (self.refuses, self.lost_answers, self.disk_full) = (None, 0, false);
            self.away.clear();
        }
        if out(Trouble::Money) {
            self.caps = Caps { session: WIDE, user_day: WIDE, account_month: WIDE, ..self.caps };
            self.others = None;
        }
        if out(Trouble::Faults) {
            self.day.faults = 0;
        }
        if out(Trouble::Stall) {
            self.day.stalls = 0;
        }
        if out(Trouble::Twice) {
            self.day.repeats = 0;
        }
        if out(Trouble::Late) {
            self.day.late = 0;
        }
        if out(Trouble::Bill) {
            self.day.misbills = false;
        }
        if out(Trouble::Cough) {
            self.coughs = 0;
        }
        if out(Trouble::Anthropic) {
            self.is_anthropic = [false; 2];
        }
        if out(Trouble::Say) {
            self.says = 0;
        }
        self
    }

    /// Whether the database takes everything, tokens are good and nobody ends the call from outside. Whatever else goes wrong, every turn is answered:
    /// where relays are killed or stopped by the one that goes on, and where money is short as long as there is any.
    pub(crate) fn is_fair(&self) -> bool {
        let is_kept = self.away.is_empty() && self.refuses.is_none() && self.lost_answers == 0;
        is_kept && self.erased.is_none() && self.ended.is_none() && self.bad_tokens == 0
    }

    pub(crate) fn new(start: Time, random: &mut Random) -> Scenario {
        let who = match random.between(0, 99) {
            0..=39 => Who::Echo,
            40..=64 => Who::Chat,
            _ => Who::Talker,
        };
        let bad_network = random.percent(55);
        let bad_day = random.percent(45);
        let at = |random: &mut Random, most| start + Duration::from_millis(random.between(0, most));
        let span = |random: &mut Random, longest| {
            let from = at(random, 9_000);
            Span { from, to: from + Duration::from_millis(random.between(50, longest)) }
        };
        let mut away = Vec::new();
        if bad_day && random.percent(50) {
            let longest = if random.percent(20) { 90_000 } else { 6_000 };
            for _ in 0..random.between(1, 2) {
                away.push(span(random, longest));
            }
        }
        let refuses = (bad_day && random.percent(12)).then(|| {
            let kind = if random.percent(70) { Refusing::Mendable } else { Refusing::ForGood };
            (span(random, 4_000), kind)
        });
        let mut caps = Caps { session: WIDE, user_day: WIDE, account_month: WIDE, token: TokenCaps::NONE };
        let short = random.percent(18);
        if short {
            // Listening costs 80,000 nano-dollars a second, and a request of a model about as much.
            let amount = NanoUsd::new(random.between(50_000, 1_600_000));
            match random.between(0, 2) {
                0 => caps.session = amount,
                1 => caps.user_day = amount,
                _ => caps.account_month = amount,
            }
        }
        let is_midnight = random.percent(4);
        let crash = if bad_day && random.percent(45) { random.between(5, 40) } else { 0 };
        Scenario {
            who,
            is_streamed: false,
            has_tools: false,
            computed: random.percent(1),
            agent_codec: if random.percent(10) { Codec::PcmS16le24000 } else { Codec::PcmS16le16000 },
            chunks: random.between(5, 90) as u32,
            chunk: [1_600, 1_600, 1_600, 800, 320][random.between(0, 4) as usize],
            lingers: None,
            mute_percent: if random.percent(30) { 4 } else { 0 },
            type_percent: match who {
                Who::Chat => 5,
                _ if random.percent(30) => 3,
                _ => 0,
            },
            leave: if random.percent(10) { Leave::Vanishes } else { Leave::HangsUp },
            bad_network,
            slow_line: bad_network && random.percent(15),
            crash,
            stop: if bad_day && random.percent(35) { random.between(5, 30) } else { 0 },
            drains: false,
            relays: if random.percent(60) { 2 } else { 1 },
            hops: random.percent(50),
            away,
            lost_answers: if bad_day && random.percent(40) { random.between(2, 25) } else { 0 },
            refuses,
            store_ms: if bad_day && random.percent(20) { 2_500 } else { 40 },
            disk_full: bad_day && random.percent(10),
            caps,
            others: (short && random.percent(50)).then(|| NanoUsd::new(random.between(10_000, 400_000))),
            erased: (bad_day && random.percent(5)).then(|| at(random, 12_000)),
            ended: (bad_day && random.percent(5)).then(|| at(random, 12_000)),
            token: Duration::from_secs(if random.percent(10) { random.between(2, 20) } else { 3_600 }),
            bad_tokens: if random.percent(10) { 40 } else { 0 },
            buffer: Duration::from_secs(if random.percent(10) { random.between(2, 5) } else { 30 }),
            resume_window: Duration::from_secs(if random.percent(20) { 5 } else { 60 }),
            store_grace: Duration::from_secs(if random.percent(30) { 10 } else { 60 }),
            day: Day {
                faults: if random.percent(50) { random.between(5, 60) } else { 0 },
                misbills: true,
                ..Day::default()
            },
            coughs: 0,
            says: 0,
            is_anthropic: [false; 2],
            is_midnight,
            begins_ms: if is_midnight {
                1_798_761_600_000 - random.between(0, 12_000) as i64
            } else {
                1_795_608_000_000
            },
        }
        .with_short_chunks()
    }

    /// A few of those whose chunks are short speak in much shorter ones, down to the shortest that a relay takes, for as long as others speak in
    /// chunks of 100 ms. Nothing is drawn for that, so all other calls stay as they are.
    fn with_short_chunks(mut self) -> Scenario {
        if self.chunk == 320 && self.chunks % 40 == 27 {
            let samples = 1_600 * self.chunks;
            self.chunk = 50 + 3 * 67_u32.saturating_sub(self.chunks);
            self.chunks = samples / self.chunk;
            // Both are drawn with each chunk.
            self.mute_percent = self.mute_percent.min(1);
            self.type_percent = self.type_percent.min(1);
        }
        self
    }
}
