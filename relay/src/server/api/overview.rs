//! What ended sessions come to, for charts: by time, and what they have cost by whom and for what. It is read from the rollups, so that it is as
//! quick with a million sessions as with ten.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::extract::{Query, maybe_agent, maybe_name};
use super::responses::Usual;
use super::time::{self, Days};
use super::{Problem, cursor};
use crate::App;
use crate::records::store::{
    DAY_MS, HOUR_MS, Overview, OverviewFilter, STAGE_BUCKETS_MS, Spend, SpendBy, SpendFilter, TurnsSum,
    unix_ms,
};

/// Up to how many days are told by the hour. More are told by the day.
const DAYS_BY_THE_HOUR: i64 = 7;
/// How many days a request may span: each is a row of what is added up by day.
const DAYS_MAX: u32 = 100;
/// The names of close codes after which nobody can say that the call went as it should. Others end a call as one side wished, or as a limit or an
/// administrator did.
const FAILURES: [&str; 10] = [
    "abnormal",
    "going_away",
    "internal",
    "invalid_text",
    "protocol",
    "restart",
    "too_big",
    "try_later",
    "unauthorized",
    "violation",
];
/// The stages of an answer, as they follow each other, and all of them.
const STAGES: [&str; 6] = ["stt", "llm", "tts", "send", "heard", "total"];

/// Which days to look at.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OverviewAsked {
    /// The first day (UTC). By default it is 30 days in all, and they may be 100 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
    /// Only sessions of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// Only sessions with this agent.
    #[param(min_length = 1, max_length = 64, nullable = false)]
    agent: Option<String>,
}

/// Which spend to add up.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SpendAsked {
    /// What spend is added up for. Days by default.
    #[param(inline, nullable = false)]
    by: Option<SpentBy>,
    /// The first day (UTC). By default it is 30 days in all, and they may be 100 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
    /// Only spend of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// How many rows there may be, from the largest sum on. 20 by default. Days are always all there.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
}

/// What spend is added up for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SpentBy {
    /// Each day (UTC).
    Day,
    /// Each account.
    Account,
    /// Each user.
    User,
    /// Each agent.
    Agent,
    /// Each provider.
    Provider,
    /// Each item of a provider.
    Item,
}

/// The sessions that began in some days and have ended.
#[derive(Serialize, ToSchema)]
pub(super) struct OverviewAnswer {
    /// The first day.
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    /// How much time each part of `series` spans: an hour if there are 7 days or fewer, else a day.
    step_seconds: i64,
    /// All of it.
    total: Figures,
    /// It by time, without gaps: where nothing was, there are zeros.
    series: Vec<Figures>,
    /// How the sessions ended, in the order of the names.
    endings: Vec<Ending>,
}

/// The sessions that began in some time and have ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Figures {
    /// When the time begins.
    #[schema(format = DateTime)]
    at: String,
    /// How many sessions there were.
    calls: u64,
    /// How many of them did not end as they should, because something broke.
    failed: u64,
    /// How long all of them were together, in seconds.
    seconds: u64,
    /// How often they were resumed.
    reconnects: u64,
    /// What was spent in this time, in nano-dollars. What erased sessions cost is not in it.
    cost_nano_usd: u64,
    /// How many answers the agents gave.
    answers: u64,
    /// How many of these were not heard to their end, because they were interrupted.
    interrupted: u64,
    /// How long answers took in each stage that there is something known of.
    stages: Vec<StageTimes>,
}

/// How long a stage of answers took. The percentiles are read from buckets, and are exact to the width of those. None is above 10 s: it may have
/// been longer then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StageTimes {
    /// The stage: `stt`, `llm`, `tts`, `send`, `heard`, or `total`.
    stage: String,
    /// How many answers it is known of.
    turns: u64,
    /// Half of them took this long at most, in milliseconds.
    p50_ms: u32,
    /// 95 of 100 took this long at most, in milliseconds.
    p95_ms: u32,
    /// 99 of 100 took this long at most, in milliseconds.
    p99_ms: u32,
}

/// How many sessions ended in this way.
#[derive(Serialize, ToSchema)]
pub(super) struct Ending {
    /// The name of a close code.
    reason: String,
    /// How many sessions ended so.
    calls: u64,
    /// Whether that counts as a failure.
    failed: bool,
}

/// What ended sessions have cost.
#[derive(Serialize, ToSchema)]
pub(super) struct SpendAnswer {
    /// The first day.
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    #[schema(inline)]
    by: SpentBy,
    /// Days in their order, everything else from the largest sum on.
    rows: Vec<Spent>,
    /// What all of it comes to, with what there is no row for.
    total_nano_usd: u64,
    /// What sessions cost that were erased since. It is not in the total.
    erased_nano_usd: u64,
    /// What was given back of it. It is not taken from the total.
    credited_nano_usd: u64,
}

/// What one of them has cost.
#[derive(Serialize, ToSchema)]
pub(super) struct Spent {
    /// The day, such as `2026-12-31`, or the name of the account, user, agent, provider or item.
    name: String,
    /// The sum, in nano-dollars.
    cost_nano_usd: u64,
}

/// Adds up the sessions that have ended, by time.
#[utoipa::path(
    get, path = "/v1/admin/overview", operation_id = "read_overview", tag = "admin", params(OverviewAsked),
    responses((status = 200, description = "The sums, by time", body = OverviewAnswer), Usual),
)]
pub(super) async fn overview(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<OverviewAsked>,
) -> Result<Json<OverviewAnswer>, Problem> {
    let days = Days::read(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    let (from_ms, to_ms) = (days.begin_ms(), days.end_ms());
    let step_ms = if to_ms - from_ms <= DAYS_BY_THE_HOUR * DAY_MS { HOUR_MS } else { DAY_MS };
    let account = maybe_name("account", asked.account)?;
    let filter = OverviewFilter { from_ms, to_ms, step_ms, account, agent: maybe_agent(asked.agent)? };
    let found = app.records.store.overview(&filter).await?;
    let mut series: BTreeMap<i64, Sums> = BTreeMap::new();
    let mut at_ms = from_ms;
    while at_ms < to_ms {
        series.insert(at_ms, Sums::default());
        at_ms += step_ms;
    }
    let mut total = Sums::default();
    let endings = add_up(found, &mut series, &mut total);
    Ok(Json(OverviewAnswer {
        from: days.from.to_string(),
        to: days.to.to_string(),
        step_seconds: step_ms / 1_000,
        total: total.figures(from_ms),
        series: series.iter().map(|(at_ms, sums)| sums.figures(*at_ms)).collect(),
        endings,
    }))
}

/// Adds up what the sessions that have ended cost, by whom or for what.
#[utoipa::path(
    get, path = "/v1/admin/spend", operation_id = "read_spend", tag = "admin", params(SpendAsked),
    responses((status = 200, description = "The sums", body = SpendAnswer), Usual),
)]
pub(super) async fn spend(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<SpendAsked>,
) -> Result<Json<SpendAnswer>, Problem> {
    let days = Days::read(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    let by = asked.by.unwrap_or(SpentBy::Day);
    let limit = cursor::limit(asked.limit)?;
    let filter = SpendFilter {
        from_ms: days.begin_ms(),
        to_ms: days.end_ms(),
        by: by.into(),
        account: maybe_name("account", asked.account)?,
        limit: if matches!(by, SpentBy::Day) { DAYS_MAX } else { limit },
    };
    let Spend { rows, total, erased, credited } = app.records.store.spend(&filter).await?;
    Ok(Json(SpendAnswer {
        from: days.from.to_string(),
        to: days.to.to_string(),
        by,
        rows: rows.into_iter().map(|row| Spent { name: row.name, cost_nano_usd: row.cost.get() }).collect(),
        total_nano_usd: total.get(),
        erased_nano_usd: erased.get(),
        credited_nano_usd: credited.get(),
    }))
}

impl From<SpentBy> for SpendBy {
    fn from(by: SpentBy) -> SpendBy {
        match by {
            SpentBy::Day => SpendBy::Day,
            SpentBy::Account => SpendBy::Account,
            SpentBy::User => SpendBy::User,
            SpentBy::Agent => SpendBy::Agent,
            SpentBy::Provider => SpendBy::Provider,
            SpentBy::Item => SpendBy::Item,
        }
    }
}

/// The turns of a stage, by bucket.
type Buckets = [u64; STAGE_BUCKETS_MS.len() + 1];

/// What is added up of one time.
#[derive(Clone, Debug, Default)]
struct Sums {
    calls: u64,
    failed: u64,
    milliseconds: u64,
    reconnects: u64,
    cost_nano_usd: u64,
    /// By the name of the stage, with `answer` and `interrupted`.
    turns: BTreeMap<String, Buckets>,
}

impl Sums {
    fn add_turns(&mut self, sum: &TurnsSum) {
        let buckets = self.turns.entry(sum.stage.clone()).or_default();
        // A bucket that is not known is of a newer version, which measures finer.
        let last = buckets.len() - 1;
        buckets[(sum.bucket as usize).min(last)] += sum.turns;
    }

    fn turns_of(&self, stage: &str) -> u64 {
        self.turns.get(stage).map_or(0, |buckets| buckets.iter().sum())
    }

    fn figures(&self, at_ms: i64) -> Figures {
        let known = STAGES.into_iter().filter(|stage| self.turns_of(stage) > 0);
        Figures {
            at: time::text(at_ms),
            calls: self.calls,
            failed: self.failed,
            seconds: self.milliseconds / 1_000,
            reconnects: self.reconnects,
            cost_nano_usd: self.cost_nano_usd,
            answers: self.turns_of("answer"),
            interrupted: self.turns_of("interrupted"),
            stages: known.map(|stage| stage_times(stage, &self.turns[stage])).collect(),
        }
    }
}

/// Adds what was found to the times that it belongs to, and to the total. Says how the sessions ended.
fn add_up(found: Overview, series: &mut BTreeMap<i64, Sums>, total: &mut Sums) -> Vec<Ending> {
    let mut endings: BTreeMap<String, u64> = BTreeMap::new();
    for row in found.calls {
        let failed = if FAILURES.contains(&row.reason.as_str()) { row.calls } else { 0 };
        for sums in series.get_mut(&row.at_ms).into_iter().chain([&mut *total]) {
            sums.calls += row.calls;
            sums.failed += failed;
            sums.milliseconds += row.milliseconds;
            sums.reconnects += row.reconnects;
        }
        *endings.entry(row.reason).or_default() += row.calls;
    }
    for row in found.money {
        for sums in series.get_mut(&row.at_ms).into_iter().chain([&mut *total]) {
            sums.cost_nano_usd += row.cost.get();
        }
    }
    for row in found.turns {
        for sums in series.get_mut(&row.at_ms).into_iter().chain([&mut *total]) {
            sums.add_turns(&row);
        }
    }
    let endings = endings.into_iter().filter(|(_, calls)| *calls > 0);
    endings
        .map(|(reason, calls)| Ending { failed: FAILURES.contains(&reason.as_str()), reason, calls })
        .collect()
}

fn stage_times(stage: &str, buckets: &Buckets) -> StageTimes {
    let at = |percent| percentile(buckets, percent);
    StageTimes {
        stage: stage.to_owned(),
        turns: buckets.iter().sum(),
        p50_ms: at(50),
        p95_ms: at(95),
        p99_ms: at(99),
    }
}

/// The time that so many percent took at most. Within a bucket the turns are taken to be spread evenly, as Prometheus' `histogram_quantile` takes
/// them.
fn percentile(buckets: &Buckets, percent: u64) -> u32 {
    let all: u64 = buckets.iter().sum();
    // In hundredths of a turn, so that nothing is rounded before the end.
    let wanted = all * percent;
    let (mut below, mut begin_ms) = (0, 0);
    for (turns, end_ms) in buckets.iter().zip(STAGE_BUCKETS_MS) {
        let (turns, width) = (turns * 100, u64::from(end_ms - begin_ms));
        if turns > 0 && below + turns >= wanted {
            let within = (wanted - below) * width / turns;
            return begin_ms + u32::try_from(within).unwrap_or(u32::MAX);
        }
        below += turns;
        begin_ms = end_ms;
    }
    begin_ms
}

#[cfg(test)]
mod tests {
    use protocol::CloseCode;

    use super::*;

    #[test]
    fn a_percentile_lies_within_its_bucket_and_never_beyond_the_last() {
        let mut buckets = Buckets::default();
        assert_eq!(percentile(&buckets, 99), 10_000, "of nothing there is none, and nobody asks");
        // 100 turns between 500 and 750 ms.
        buckets[6] = 100;
        assert_eq!((percentile(&buckets, 50), percentile(&buckets, 99)), (625, 747));
        // And 100 that took longer than 10 s.
        buckets[14] = 100;
        assert_eq!((percentile(&buckets, 50), percentile(&buckets, 95)), (750, 10_000));
        let mut first = Buckets::default();
        first[0] = 1;
        assert_eq!(percentile(&first, 100), 25);
    }

    #[test]
    fn every_failure_is_the_name_of_a_close_code() {
        for reason in FAILURES {
            assert!(CloseCode::ALL.iter().any(|code| code.name() == reason), "{reason}");
        }
    }
}
