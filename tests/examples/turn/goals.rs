//! What the relay may add to a turn, and whether it does. Goals are of rows that are not void; what no such row says anything about was not measured.

use serde_json::{Value, json};

use super::script::Scene;
use super::{ADDED, Row, SOUND, WHOLE};

/// What 99 of a hundred turns may wait for the relay.
const ADDED_P99_MS: f64 = 10.0;
/// How soon the first sound has to be on its way, in 99 of a hundred turns.
const SOUND_P99_MS: f64 = 20.0;
/// What the relay may add to half of the turns of providers that take their time.
const ADDED_P50_MS: f64 = 50.0;
/// How long half of these turns may take, whoever takes it.
const WHOLE_P50_MS: f64 = 1_000.0;
/// Of fewer turns the median says what the providers have drawn, and not how long turns take.
const TURNS_MIN: usize = 100;

/// A goal, and what was measured of it.
pub(crate) struct Goal {
    what: String,
    limit: Limit,
    measured: Option<f64>,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Limit {
    Below(f64),
    AtMost(f64),
}

/// The goals, with what these measurements say of them.
pub(crate) fn of(rows: &[Row]) -> Vec<Goal> {
    rows.iter().flat_map(of_row).collect()
}

fn of_row(row: &Row) -> Vec<Goal> {
    let is_valid = row.void().is_none() && !row.shares.is_empty();
    let goal = |what: &str, limit, measured: f64| Goal {
        what: format!("{what}, {} calls, {}", row.calls, row.scene_name()),
        limit,
        measured: is_valid.then_some(measured),
    };
    let mut goals = vec![
        goal("added by the relay, p99, ms", Limit::Below(ADDED_P99_MS), row.at(ADDED, 0.99)),
        goal("first sound to the caller, p99, ms", Limit::AtMost(SOUND_P99_MS), row.at(SOUND, 0.99)),
    ];
    if row.scene == Scene::Real {
        let added = row.at(ADDED, 0.5);
        goals.push(goal("added by the relay, p50, ms", Limit::AtMost(ADDED_P50_MS), added));
        let whole = goal("whole turn, p50, ms", Limit::Below(WHOLE_P50_MS), row.at(WHOLE, 0.5));
        let measured = whole.measured.filter(|_| row.shares.len() >= TURNS_MIN);
        goals.push(Goal { measured, ..whole });
    }
    goals
}

/// A line for each of them.
pub(crate) fn print(goals: &[Goal]) {
    println!("\n{:<58} {:>8} {:>10}", "", "goal", "measured");
    for goal in goals {
        let Goal { what, limit, measured } = goal;
        let measured = measured.map(|measured| format!("{measured:.2}")).unwrap_or_default();
        let said = match goal.is_reached() {
            Some(true) => "reached",
            Some(false) => "NOT REACHED",
            None => "not measured",
        };
        println!("{what:<58} {:>8} {measured:>10}  {said}", limit.text());
    }
}

impl Goal {
    /// Whether it is reached; nothing where it was not measured.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.measured.map(|measured| self.limit.holds(measured))
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "goal": self.what,
            "limit": self.limit.text(),
            "measured": self.measured,
            "reached": self.is_reached(),
        })
    }
}

impl Limit {
    fn holds(self, measured: f64) -> bool {
        match self {
            Limit::Below(limit) => measured < limit,
            Limit::AtMost(limit) => measured <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::Below(limit) => format!("< {limit}"),
            Limit::AtMost(limit) => format!("<= {limit}"),
        }
    }
}
