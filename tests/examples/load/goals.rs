//! What a call may weigh, and whether it does. Goals are of rows that are not void; what no such row says anything about was not measured.

use serde_json::{Value, json};

use super::opening::Opened;
use super::{Row, Scene};

/// Of so many calls that listen, [`LATENCY_MS`] is asked for.
const LISTENING: u64 = 2_500;
/// A ping of 99 in a hundred is answered within this time.
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
/// A row of conversing calls says how many there may be if so many of their turns were answered.
const ANSWERED_PERCENT: f64 = 99.0;

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
pub(crate) fn of(rows: &[Row], opened: Option<&Opened>) -> Vec<Goal> {
    let valid = || rows.iter().filter(|row| row.void().is_none());
    let most = |scene: Scene| valid().filter(|row| row.scene == scene).max_by_key(|row| row.calls);
    let listening = most(Scene::Silent).filter(|row| row.calls >= LISTENING);
    let mut goals = vec![Goal {
        what: format!("ping to pong of {LISTENING} calls that listen, p99, ms"),
        limit: Limit::Below(LATENCY_MS),
        measured: listening.map(|row| row.at(0.99)),
    }];
    let echo_of = |calls: u64| valid().find(|echo| echo.scene == Scene::Echo && echo.calls == calls);
    let beside = valid()
        .filter(|row| row.scene == Scene::Silent)
        .filter_map(|row| Some((row, echo_of(row.calls)?)))
        .max_by_key(|(row, _)| row.calls);
    goals.push(Goal {
        what: format!("CPU of{} calls that listen, times the bare echo", counted(beside.map(|(row, _)| row))),
        limit: Limit::AtMost(TIMES_ECHO),
        measured: beside.map(|(row, echo)| row.percent() / echo.percent()),
    });
    for (scene, limit) in MEMORY_KB {
        goals.push(Goal {
            what: format!("memory of a call, {}, KB", scene.name()),
            limit: Limit::AtMost(limit),
            measured: most(scene).map(|row| row.kib_per_call * 1.024),
        });
    }
    let conversing = valid().filter(|row| row.answered_percent() >= Some(ANSWERED_PERCENT));
    let conversing = conversing.max_by_key(|row| row.calls);
    goals.push(Goal {
        what: format!("calls that converse on {CORE_PERCENT} % of a core, by{} of them", counted(conversing)),
        limit: Limit::AtLeast(CONVERSING),
        measured: conversing.map(|row| row.calls as f64 * CORE_PERCENT / row.percent()),
    });
    goals.push(Goal {
        what: "ping to pong while 1,000 calls a second are opened, p99, ms".to_owned(),
        limit: Limit::Below(LATENCY_MS),
        measured: opened.filter(|opened| opened.void().is_none()).map(Opened::pings_p99),
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
            None => "not measured",
        };
        println!("{what:<66} {:>8} {measured:>10}  {said}", limit.text());
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

/// How many calls a row is of, behind a space.
fn counted(row: Option<&Row>) -> String {
    row.map(|row| format!(" {}", row.calls)).unwrap_or_default()
}
