//! What the relay may add to a turn, and whether it does. Goals are of rows that are not void; what no such row says anything about was not measured.

use serde_json::{Value, json};

use super::script::Scene;
use super::{ADDED, Row, SOUND, WHOLE};

/// So many turns may wait for a connection to a provider: none.
const HANDSHAKES: f64 = 0.0;
/// Of a hundred turns that were spoken so many have to be answered.
const ANSWERED_PERCENT: f64 = 99.0;
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
    AtLeast(f64),
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
    // Turns of which none was answered have no times, and miss this goal.
    let (answered, spoken) = (row.shares.len() as f64, row.spoken as f64);
    let enough = Limit::AtLeast((spoken * ANSWERED_PERCENT / 100.0).ceil());
    let is_spoken = row.void().is_none() && row.spoken > 0;
    let answers = goal(&format!("turns answered of {spoken} spoken"), enough, answered);
    let mut goals = vec![
        Goal { measured: is_spoken.then_some(answered), ..answers },
        goal("turns that waited for a handshake", Limit::AtMost(HANDSHAKES), row.handshakes),
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
    println!("\n{:<74} {:>8} {:>10}", "", "goal", "measured");
    for goal in goals {
        let Goal { what, limit, measured } = goal;
        let measured = measured.map(|measured| format!("{measured:.2}")).unwrap_or_default();
        let said = match goal.is_reached() {
            Some(true) => "reached",
            Some(false) => "NOT REACHED",
            None => "not measured",
        };
        println!("{what:<74} {:>8} {measured:>10}  {said}", limit.text());
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
            Limit::AtLeast(limit) => measured >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::Below(limit) => format!("< {limit}"),
            Limit::AtMost(limit) => format!("<= {limit}"),
            Limit::AtLeast(limit) => format!(">= {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::Writes;
    use super::super::script::Share;
    use super::*;

    /// A row in which all is well but for these numbers, and its goals that are not reached.
    fn missed(spoken: usize, answered: usize, handshakes: f64) -> Vec<(String, String, Option<f64>)> {
        let share = Share { audio: 1.0, question: 1.0, sentence: 1.0, sound: 1.0, whole: 5.0 };
        let row = Row {
            scene: Scene::Bare,
            writes: Writes::Sentences,
            calls: 7,
            spoken,
            shares: vec![share; answered],
            handshakes,
            relay_percent: 1.0,
            own_percent: 1.0,
            late: vec![0.0],
            lost: 0,
        };
        let missed = of(&[row]).into_iter().filter(|goal| goal.is_reached() == Some(false));
        missed.map(|goal| (goal.what, goal.limit.text(), goal.measured)).collect()
    }

    #[test]
    fn no_turn_may_wait_for_a_handshake() {
        assert_eq!(missed(1_000, 1_000, 0.0), []);
        let what = "turns that waited for a handshake, 7 calls, bare".to_owned();
        assert_eq!(missed(1_000, 1_000, 1.0), [(what, "<= 0".to_owned(), Some(1.0))]);
    }

    #[test]
    fn turns_that_were_not_answered_are_named_with_how_many_were_spoken() {
        assert_eq!(missed(1_000, 990, 0.0), []);
        for answered in [989, 0] {
            let what = "turns answered of 1000 spoken, 7 calls, bare".to_owned();
            let measured = Some(answered as f64);
            assert_eq!(missed(1_000, answered, 0.0), [(what, ">= 990".to_owned(), measured)]);
        }
    }
}
