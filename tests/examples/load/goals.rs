//! What a call may weigh, and whether it does. There are goals for what was asked for, and what they ask is asked of rows that are not void. A goal that no
//! such row says anything about was not measured, which is no better than one that is not reached.

use serde_json::{Value, json};

use super::opening::Opened;
use super::{Row, Scene};

/// Of so many calls that listen, [`LATENCY_MS`] is asked for.
const LISTENING: u64 = 2_500;
/// Of a hundred pings 99 are answered within this time, and the relay adds less than this to 99 of a hundred turns.
const LATENCY_MS: f64 = 20.0;
/// A relay may use so much of a core for calls that listen, beside the bare echo.
const TIMES_ECHO: f64 = 1.5;
/// Memory of a call, in KB of 1,000 bytes. Sound of two seconds, which a relay may be ahead, is 96 of them.
const MEMORY_KB: [(Scene, f64); 4] =
    [(Scene::Idle, 16.0), (Scene::Silent, 40.0), (Scene::Talking, 160.0), (Scene::Conversing, 160.0)];
/// So many calls have to be able to converse on a core.
const CONVERSING: f64 = 1_200.0;
/// For which so much of the core is used.
const CORE_PERCENT: f64 = 85.0;
/// So many turns of calls that converse may be left without an answer.
const UNANSWERED: f64 = 0.0;

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

/// The goals of what was asked for, with what these measurements say of them.
pub(crate) fn of(rows: &[Row], opened: Option<&Opened>) -> Vec<Goal> {
    let is_asked = |scene: Scene| rows.iter().any(|row| row.scene == scene);
    let mut goals = Vec::new();
    if is_asked(Scene::Silent) {
        goals.extend(of_listening(rows));
    }
    for (scene, limit) in MEMORY_KB.into_iter().filter(|(scene, _)| is_asked(*scene)) {
        goals.push(Goal {
            what: format!("memory of a call, {}, KB", scene.name()),
            limit: Limit::AtMost(limit),
            measured: most(rows, scene).map(|row| row.kib_per_call * 1.024),
        });
    }
    if is_asked(Scene::Conversing) {
        goals.extend(of_conversing(rows));
    }
    goals.extend(opened.map(|opened| Goal {
        what: "ping to pong while 1,000 calls a second are opened, p99, ms".to_owned(),
        limit: Limit::Below(LATENCY_MS),
        measured: opened.void().is_none().then(|| opened.pings_p99()),
    }));
    goals
}

/// Rows that say something about the server.
fn valid(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.void().is_none())
}

/// Of this scene the one with most calls.
fn most(rows: &[Row], scene: Scene) -> Option<&Row> {
    valid(rows).filter(|row| row.scene == scene).max_by_key(|row| row.calls)
}

fn of_listening(rows: &[Row]) -> [Goal; 2] {
    let listening = most(rows, Scene::Silent).filter(|row| row.calls >= LISTENING);
    let echo_of = |calls: u64| valid(rows).find(|echo| echo.scene == Scene::Echo && echo.calls == calls);
    let beside = valid(rows)
        .filter(|row| row.scene == Scene::Silent)
        .filter_map(|row| Some((row, echo_of(row.calls)?)))
        .max_by_key(|(row, _)| row.calls);
    [
        Goal {
            what: format!("ping to pong of {LISTENING} calls that listen, p99, ms"),
            limit: Limit::Below(LATENCY_MS),
            measured: listening.map(|row| row.at(0.99)),
        },
        Goal {
            what: format!(
                "CPU of{} calls that listen, times the bare echo",
                counted(beside.map(|(row, _)| row))
            ),
            limit: Limit::AtMost(TIMES_ECHO),
            measured: beside.map(|(row, echo)| row.percent() / echo.percent()),
        },
    ]
}

/// Two goals of each row, and how many calls there may be. The latter is asked of the row with most calls, and not of a smaller one in its place. Where
/// turns of that row were not answered it says nothing, since what was left undone took none of the core.
fn of_conversing(rows: &[Row]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for row in rows {
        let Some(unanswered) = row.unanswered() else { continue };
        let is_valid = row.void().is_none();
        goals.push(Goal {
            what: format!("turns not answered, of {} calls that converse", row.calls),
            limit: Limit::AtMost(UNANSWERED),
            measured: is_valid.then_some(unanswered as f64),
        });
        goals.push(Goal {
            what: format!("added to a turn of {} calls that converse, p99, ms", row.calls),
            limit: Limit::Below(LATENCY_MS),
            measured: is_valid.then(|| row.at(0.99)),
        });
    }
    let most = most(rows, Scene::Conversing);
    let whole = most.filter(|row| row.unanswered() == Some(0));
    goals.push(Goal {
        what: format!("calls that converse on {CORE_PERCENT} % of a core, by{} of them", counted(most)),
        limit: Limit::AtLeast(CONVERSING),
        measured: whole.map(|row| row.calls as f64 * CORE_PERCENT / row.percent()),
    });
    goals
}

/// A line for each of them.
pub(crate) fn print(goals: &[Goal]) {
    println!("{:<66} {:>8} {:>10}", "", "goal", "measured");
    for goal in goals {
        let Goal { what, limit, measured } = goal;
        let measured = measured.map(|measured| format!("{measured:.2}")).unwrap_or_default();
        let said = match goal.is_reached() {
            Some(true) => "reached",
            Some(false) => "NOT REACHED",
            None => "NOT MEASURED",
        };
        println!("{what:<66} {:>8} {measured:>10}  {said}", limit.text());
    }
}

/// What is to be said of goals that were not measured, a line each.
pub(crate) fn unmeasured(goals: &[Goal]) -> Vec<String> {
    let unmeasured = goals.iter().filter(|goal| goal.is_reached().is_none());
    unmeasured.map(|goal| format!("error: a goal was not measured: {}", goal.what)).collect()
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

/// How many calls a row is of, behind a space.
fn counted(row: Option<&Row>) -> String {
    row.map(|row| format!(" {}", row.calls)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Conversed, Readings};
    use super::*;

    fn row(scene: Scene, calls: u64, conversed: Option<(usize, usize)>, added_ms: f64) -> Row {
        let conversed =
            conversed.map(|(answered, spoken)| Conversed { answered, spoken, rows: 1.0, bytes: 1.0 });
        Row {
            scene,
            calls,
            latencies: vec![added_ms; 100],
            conversed,
            readings: Readings { cpu_seconds: 1.0, own_cpu_seconds: 1.0, seconds: 10.0, kib: 1 },
            kib_per_call: 10.0,
            late_percent: 0.0,
            apart: true,
            lost: 0,
        }
    }

    fn conversing(calls: u64, answered: usize, spoken: usize, added_ms: f64) -> Row {
        row(Scene::Conversing, calls, Some((answered, spoken)), added_ms)
    }

    /// The goals with these words in them, and whether they are reached.
    fn judged(rows: &[Row], words: &str) -> Vec<Option<bool>> {
        let goals = of(rows, None);
        goals.iter().filter(|goal| goal.what.contains(words)).map(Goal::is_reached).collect()
    }

    #[test]
    fn turns_that_were_not_answered_miss_a_goal_and_say_nothing_of_how_many_calls_there_may_be() {
        let rows = [conversing(150, 1_000, 1_000, 5.0), conversing(600, 3_999, 4_000, 5.0)];
        assert_eq!(judged(&rows, "turns not answered, of 150 calls"), [Some(true)]);
        assert_eq!(judged(&rows, "turns not answered, of 600 calls"), [Some(false)]);
        assert_eq!(judged(&rows, "% of a core, by 600 of them"), [None], "150 calls do not stand in for 600");
        let errors = unmeasured(&of(&rows, None));
        assert!(matches!(&errors[..], [error] if error.contains("by 600 of them")), "{errors:?}");

        let whole = [conversing(150, 1_000, 1_000, 5.0), conversing(600, 4_000, 4_000, 5.0)];
        assert_eq!(judged(&whole, "% of a core, by 600 of them"), [Some(true)]);
        assert!(unmeasured(&of(&whole, None)).is_empty());
    }

    #[test]
    fn what_is_added_to_turns_is_judged_in_each_row() {
        let rows = [conversing(150, 100, 100, 20.0), conversing(600, 100, 100, 19.0)];
        assert_eq!(judged(&rows, "added to a turn of 150 calls"), [Some(false)]);
        assert_eq!(judged(&rows, "added to a turn of 600 calls"), [Some(true)]);
        let silent = Row { latencies: Vec::new(), ..conversing(600, 0, 0, 0.0) };
        assert_eq!(judged(&[silent], "added to a turn"), [Some(false)], "nobody has spoken");
    }

    #[test]
    fn a_void_row_measures_nothing_and_what_was_not_asked_for_is_no_goal() {
        let void = Row { late_percent: 50.0, ..conversing(600, 4_000, 4_000, 5.0) };
        let goals = of(&[void], None);
        assert_eq!(goals.len(), 4, "turns, time, calls and memory");
        assert_eq!(unmeasured(&goals).len(), 4);
        assert!(of(&[], None).is_empty());
    }

    #[test]
    fn fewer_calls_that_listen_than_the_goal_is_of_do_not_measure_it() {
        let rows = |calls| [row(Scene::Echo, calls, None, 1.0), row(Scene::Silent, calls, None, 1.0)];
        assert_eq!(judged(&rows(600), "ping to pong of 2500 calls"), [None]);
        assert_eq!(judged(&rows(LISTENING), "ping to pong of 2500 calls"), [Some(true)]);
    }
}
