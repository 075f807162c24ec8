//! What has become of the answers, by what the user did.

use serde_json::{Value, json};

use super::goals::Goal;
use super::recogniser::INVENTED_ONE_IN;
use super::scene::Fate;
use super::set::{Item, Kind};

/// The items that one recogniser has heard.
pub(crate) struct Table {
    title: String,
    /// It has heard words in some of the noises.
    invents: bool,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    kind: Kind,
    is_held_out: bool,
    fate: Fate,
}

/// Rows that are counted together.
#[derive(Default)]
struct Counts {
    items: usize,
    never_held: usize,
    went_on: usize,
    cut: usize,
    turns: usize,
}

/// How well interruptions are told from the rest, and how soon.
struct Marks {
    recall: f64,
    /// Other people's words, which cut an answer like the user's, are left out of it.
    precision: f64,
    /// Answers that the agent's own voice has cut, or that it has taken for a turn.
    self_interruptions: usize,
    /// The median and the 95th percentile of milliseconds from an interruption's first sample.
    held_ms: Option<(u32, u32)>,
    cut_ms: Option<(u32, u32)>,
}

impl Table {
    pub(crate) fn new(title: String, invents: bool) -> Table {
        Table { title, invents, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, item: &Item, fate: Fate) {
        let (name, kind) = (item.name().to_owned(), item.kind);
        self.rows.push(Row { name, kind, is_held_out: item.is_held_out(), fate });
    }

    pub(crate) fn print(&self, prints_items: bool) {
        println!("{}", self.title);
        println!(
            "{:<36}{:>7}{:>12}{:>18}{:>7}{:>8}",
            "", "items", "never held", "held and went on", "cut", "turns"
        );
        for is_held_out in [false, true] {
            for kind in Kind::ALL {
                let counts = self.counts(kind, is_held_out);
                if counts.items > 0 {
                    let label = format!("{}, {}", self.name(kind), half(is_held_out));
                    let Counts { items, never_held, went_on, cut, turns } = counts;
                    println!("{label:<36}{items:>7}{never_held:>12}{went_on:>18}{cut:>7}{turns:>8}");
                }
            }
            let marks = self.marks(is_held_out);
            println!(
                "{}: recall {:.1} %, precision {:.1} %, self-interruptions {}; ms to the hold {}, to the cut {}",
                half(is_held_out),
                marks.recall,
                marks.precision,
                marks.self_interruptions,
                spelled(marks.held_ms),
                spelled(marks.cut_ms)
            );
        }
        if prints_items {
            for Row { name, kind, fate, .. } in self.half(false) {
                let is_wrong = fate.cut_ms.is_some() != (*kind == Kind::Interruption);
                println!("  {}{name}: {fate:?}", if is_wrong { "WRONG " } else { "" });
            }
        }
        println!();
    }

    pub(crate) fn to_json(&self) -> Value {
        let halves = [false, true].map(|is_held_out| {
            let kinds: serde_json::Map<_, _> = Kind::ALL
                .iter()
                .map(|kind| {
                    let Counts { items, never_held, went_on, cut, turns } = self.counts(*kind, is_held_out);
                    let counts = json!({ "items": items, "never_held": never_held, "went_on": went_on,
                        "cut": cut, "turns": turns });
                    (self.name(*kind), counts)
                })
                .collect();
            let marks = self.marks(is_held_out);
            json!({ "half": half(is_held_out), "kinds": kinds, "recall": marks.recall,
                "precision": marks.precision, "self_interruptions": marks.self_interruptions,
                "held_ms": marks.held_ms, "cut_ms": marks.cut_ms })
        });
        json!({ "recogniser": self.title, "halves": halves })
    }

    /// The goals, with what both halves say of them.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        [false, true].into_iter().flat_map(|is_held_out| self.goals_of(is_held_out)).collect()
    }

    fn goals_of(&self, is_held_out: bool) -> [Goal; 3] {
        let Marks { recall, precision, self_interruptions, .. } = self.marks(is_held_out);
        let has = |kind: Kind| self.counts(kind, is_held_out).items > 0;
        let is_interrupted = has(Kind::Interruption);
        let of = format!("{}, {}", self.title, half(is_held_out));
        [
            Goal::recall(&of, is_interrupted.then_some(recall)),
            Goal::precision(&of, is_interrupted.then_some(precision)),
            Goal::self_interruptions(&of, has(Kind::OwnVoice).then_some(self_interruptions as f64)),
        ]
    }

    /// What its rows of this kind are called.
    fn name(&self, kind: Kind) -> String {
        if self.invents && kind.is_noise() {
            format!("{}, 1 in {INVENTED_ONE_IN} a word", kind.name())
        } else {
            kind.name().to_owned()
        }
    }

    fn half(&self, is_held_out: bool) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.is_held_out == is_held_out)
    }

    fn counts(&self, kind: Kind, is_held_out: bool) -> Counts {
        let mut counts = Counts::default();
        for Row { fate, .. } in self.half(is_held_out).filter(|row| row.kind == kind) {
            counts.items += 1;
            counts.never_held += usize::from(fate.held_ms.is_none() && fate.cut_ms.is_none());
            counts.went_on += usize::from(fate.went_on && fate.cut_ms.is_none());
            counts.cut += usize::from(fate.cut_ms.is_some());
            counts.turns += usize::from(fate.is_turn);
        }
        counts
    }

    fn marks(&self, is_held_out: bool) -> Marks {
        let cut = |is_wanted: &dyn Fn(Kind) -> bool| {
            self.half(is_held_out).filter(|row| is_wanted(row.kind) && row.fate.cut_ms.is_some()).count()
        };
        let noticed = cut(&|kind| kind == Kind::Interruption);
        // Whether words are the user's cannot be told from them.
        let falsely = cut(&|kind| !matches!(kind, Kind::Interruption | Kind::OtherVoice));
        let all = self.counts(Kind::Interruption, is_held_out).items;
        let own = self.half(is_held_out).filter(|row| row.kind == Kind::OwnVoice);
        let times = |of: &dyn Fn(&Fate) -> Option<u32>| {
            let rows = self.half(is_held_out).filter(|row| row.kind == Kind::Interruption);
            let mut times: Vec<u32> = rows.filter_map(|row| of(&row.fate)).collect();
            times.sort_unstable();
            let at =
                |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
            at(50).copied().zip(at(95).copied())
        };
        Marks {
            recall: 100.0 * noticed as f64 / all.max(1) as f64,
            precision: 100.0 * noticed as f64 / (noticed + falsely).max(1) as f64,
            self_interruptions: own.filter(|row| row.fate.cut_ms.is_some() || row.fate.is_turn).count(),
            held_ms: times(&|fate| fate.held_ms.or(fate.cut_ms)),
            cut_ms: times(&|fate| fate.cut_ms),
        }
    }
}

fn half(is_held_out: bool) -> &'static str {
    if is_held_out { "held out" } else { "tuned on" }
}

fn spelled(times: Option<(u32, u32)>) -> String {
    times.map_or("-".to_owned(), |(median, p95)| format!("{median} (p95 {p95})"))
}
