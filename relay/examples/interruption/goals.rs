//! How well interruptions have to be told from the rest, and whether they are. What a table says nothing about was not measured.

use serde_json::{Value, json};

/// How many of a hundred interruptions have to cut the answer.
const RECALL_PERCENT: f64 = 100.0;
/// How many of a hundred cuts have to be interruptions.
const PRECISION_PERCENT: f64 = 90.0;
/// How often the agent's own voice may cut its answer.
const SELF_INTERRUPTIONS: f64 = 0.0;

/// A goal, and what was measured of it.
pub(crate) struct Goal {
    what: String,
    limit: Limit,
    measured: Option<f64>,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn recall(of: &str, measured: Option<f64>) -> Goal {
        Goal { what: format!("recall, %, {of}"), limit: Limit::AtLeast(RECALL_PERCENT), measured }
    }

    pub(crate) fn precision(of: &str, measured: Option<f64>) -> Goal {
        Goal { what: format!("precision, %, {of}"), limit: Limit::AtLeast(PRECISION_PERCENT), measured }
    }

    pub(crate) fn self_interruptions(of: &str, measured: Option<f64>) -> Goal {
        Goal { what: format!("self-interruptions, {of}"), limit: Limit::AtMost(SELF_INTERRUPTIONS), measured }
    }

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

/// A line for each of them.
pub(crate) fn print(goals: &[Goal]) {
    println!("{:<66} {:>8} {:>10}", "", "goal", "measured");
    for goal in goals {
        let Goal { what, limit, measured } = goal;
        let measured = measured.map(|measured| format!("{measured:.1}")).unwrap_or_default();
        let said = match goal.is_reached() {
            Some(true) => "reached",
            Some(false) => "NOT REACHED",
            None => "not measured",
        };
        println!("{what:<66} {:>8} {measured:>10}  {said}", limit.text());
    }
}

impl Limit {
    fn holds(self, measured: f64) -> bool {
        match self {
            Limit::AtLeast(limit) => measured >= limit,
            Limit::AtMost(limit) => measured <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::AtLeast(limit) => format!(">= {limit}"),
            Limit::AtMost(limit) => format!("<= {limit}"),
        }
    }
}
