//! Reserving and settling money.
//!
//! A session is *authorised* up to a total that only grows while it spends. What is above its cost is reserved in the budgets of its user's
//! day and its account's month. Cost and authorised amount are running totals, so that a repeated request finds its work done.

use futures_util::FutureExt;
use sqlx::any::AnyRow;

use super::super::types::{Alert, Reserve, Settle, Settled};
use super::super::unix_ms;
use super::budget_rows::{
    Counters, Owners, Periods, READ_BUDGET, budget, change_budgets, last_caps, lock_and_name_budgets,
    lock_budgets,
};
use super::read::{self, Reading};
use super::{
    Durability, Sql, SqlStore, StoreError, Tx, alerts, budgets, credits, damage, erased, rollups, signed, sql,
};
use crate::money::NanoUsd;
use crate::money::budget::{Balance, Caps, Grant, Overrides, Reserved, Scope, Shortage, Standing};
use crate::money::ledger::{ItemSum, LedgerRow, used_unit};
use crate::money::meter::SAMPLE;
use crate::money::price::Unit;
use crate::operations;

/// Which part (1 / `SHARE`) of what its user and its account have left a call may set aside beyond what it needs at once. So other calls find
/// something close to a cap as well. (Guided self-scheduling, Polychronopoulos and Kuck 1987.)
const SHARE: u64 = 4;

const LOCK_SESSION: Sql = sql!(
    "SELECT id, user_sub, account, state, epoch, cost_nano_usd, authorised_nano_usd, exposed_nano_usd, user_period,
        account_period, settlements, CASE WHEN " LEASE " <= " NOW " THEN 1 ELSE 0 END AS is_lost,
        (SELECT cap_nano_usd FROM budget_caps WHERE scope = 'user' AND subject = sessions.user_sub) AS user_cap,
        (SELECT cap_nano_usd FROM budget_caps WHERE scope = 'account' AND subject = sessions.account) AS account_cap
    FROM sessions WHERE id = $1" LOCK
);

const AUTHORISE: Sql = sql!(
    "UPDATE sessions SET authorised_nano_usd = $1, exposed_nano_usd = $2, user_period = $3, account_period = $4
    WHERE id = $5"
);

const APPEND: Sql = sql!(
    "INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per,
        price_version, cost_nano_usd, estimated, turn, request_id, created_at)
    SELECT $1, $2, user_sub, account, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM sessions WHERE id = $1
    ON CONFLICT (session_id, key) DO NOTHING"
);

const ADD_COST: Sql = sql!(
    "UPDATE sessions SET cost_nano_usd = $1, authorised_nano_usd = $2, exposed_nano_usd = $3,
        audio_samples = audio_samples + $4, tokens = tokens + $5, characters = characters + $6,
        metered_position = CASE WHEN metered_position < $7 THEN $7 ELSE metered_position END,
        uplink_seq_committed = CASE WHEN uplink_seq_committed < $8 THEN $8 ELSE uplink_seq_committed END,
        uplink_position_committed =
            CASE WHEN uplink_position_committed < $9 THEN $9 ELSE uplink_position_committed END,
        replayable_samples = CASE WHEN metered_position > $7 OR uplink_position_committed > $9 THEN replayable_samples
            ELSE COALESCE($10, replayable_samples) END,
        settlements = $11
    WHERE id = $12"
);

const METERED: Sql = sql!(
    "SELECT (SELECT COUNT(*) FROM ledger WHERE session_id = $1 AND key = $2) AS charged,
        (SELECT COUNT(*) FROM ledger WHERE session_id = $1 AND key = $3 AND quantity = $4) AS written,
        (SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM ledger
            WHERE session_id = $1 AND item = $5 AND unit = 'sample') AS samples"
);

const IS_CHARGED: Sql = sql!("SELECT 1 AS there FROM ledger WHERE session_id = $1 AND key = $2");

const SUM_BY_ITEM: Sql = sql!(
    "SELECT item, unit, CAST(SUM(quantity) AS BIGINT) AS quantity, CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd,
        MIN(CASE WHEN quantity < 0 OR cost_nano_usd < 0 THEN 'ledger row ' || key || ' of session ' || session_id END) AS damaged
    FROM ledger WHERE session_id = $1 GROUP BY item, unit ORDER BY item, unit"
);

/// The epoch of the relay that had the session last is kept: its turns are still taken as long as nobody takes the session over.
const FENCE: Sql = sql!("UPDATE sessions SET " FENCED " WHERE id = $1");

/// A session whose row is locked.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub(super) id: String,
    pub(super) epoch: u32,
    pub(super) is_live: bool,
    /// Whether the session's lease is over.
    pub(super) is_lost: bool,
    /// Whether there is no row of the session any more: only whoever pays for it is known.
    pub(super) is_erased: bool,
    pub(super) owners: Owners,
    pub(super) periods: Periods,
    cost: NanoUsd,
    authorised: NanoUsd,
    exposed: NanoUsd,
    /// The number of the newest settlement that was written.
    settlements: u32,
    /// What an administrator has set, as it was when the session was read.
    pub(super) overrides: Overrides,
}

/// What has come of charging a lost session, for operators: they are told when it is committed.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct WrittenOff {
    /// The session, and the row of its ledger that was written, if one was.
    charged: Option<(String, LedgerRow)>,
    /// The thresholds that were reached by it.
    alerts: Vec<Alert>,
}

/// The sums of the ledger rows that were appended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) cost: NanoUsd,
    pub(super) samples: u64,
    tokens: u64,
    characters: u64,
}

impl Locked {
    /// A session that was just written, and has spent nothing.
    pub(super) fn new(id: String, epoch: u32, owners: Owners, periods: Periods) -> Locked {
        let zero = NanoUsd::ZERO;
        let (cost, authorised, exposed) = (zero, zero, zero);
        let (is_live, is_lost, is_erased, settlements) = (true, false, false, 0);
        let overrides = Overrides::default();
        Locked {
            id,
            epoch,
            is_live,
            is_lost,
            is_erased,
            owners,
            periods,
            cost,
            authorised,
            exposed,
            settlements,
            overrides,
        }
    }

    /// A session that is erased, of which something is owed.
    pub(super) fn erased(id: String, epoch: u32, owners: Owners, periods: Periods) -> Locked {
        Locked { is_live: false, is_erased: true, ..Locked::new(id, epoch, owners, periods) }
    }

    /// Locks and reads the row of a session.
    pub(super) async fn read(tx: &mut Tx<'_>, id: &str) -> Result<Option<Locked>, StoreError> {
        let row = tx.query(LOCK_SESSION).bind(id).fetch_optional(&mut *tx.connection).await;
        let found = row.and_then(|row| row.map(|row| Locked::of(id, &row)).transpose());
        found.map_err(|error| read::needed(damage::SESSIONS, error, || format!("session {id}")))
    }

    fn of(id: &str, row: &AnyRow) -> Result<Locked, StoreError> {
        let name = format!("session {id}");
        let row = Reading::new(row, &name);
        Ok(Locked {
            id: id.to_owned(),
            epoch: row.small("epoch")?,
            is_live: row.text("state")? == "live",
            is_lost: row.signed("is_lost")? == 1,
            is_erased: false,
            owners: Owners::new(&row.text("user_sub")?, &row.text("account")?),
            periods: Periods { user: row.text("user_period")?, account: row.text("account_period")? },
            cost: row.money("cost_nano_usd")?,
            authorised: row.money("authorised_nano_usd")?,
            exposed: row.money("exposed_nano_usd")?,
            settlements: row.small("settlements")?,
            overrides: budgets::overrides(&row)?,
        })
    }

    /// Whether this settlement is a copy of what was written. It says nothing of how things are: more may have been settled since. One without
    /// a number is of a relay from before there were any.
    fn has(&self, settle: &Settle) -> bool {
        settle.number > 0 && settle.number <= self.settlements
    }

    fn reserved(&self) -> NanoUsd {
        self.authorised.saturating_sub(self.cost)
    }

    pub(super) fn standing(&self, caps: Caps, account: Counters, user: Counters) -> Standing {
        let session = Counters { spent: self.cost, reserved: self.reserved() };
        let (user_day, account_month) = caps.with(&self.overrides);
        Standing {
            session: session.with(caps.session),
            user: user.with(user_day),
            account: account.with(account_month),
        }
    }
}

impl WrittenOff {
    pub(super) fn tell_operators(&self) {
        if let Some((session_id, row)) = &self.charged {
            operations::alerts::written(session_id, row);
        }
        self.alerts.iter().for_each(operations::alerts::raised);
    }
}

impl Sums {
    pub(super) fn add(&mut self, row: &LedgerRow) {
        self.cost += row.cost;
        match row.unit.as_str() {
            SAMPLE => self.samples = self.samples.saturating_add(row.quantity),
            unit => match used_unit(unit) {
                Some(Unit::Character) => self.characters = self.characters.saturating_add(row.quantity),
                Some(Unit::Token(_)) => self.tokens = self.tokens.saturating_add(row.quantity),
                // Audio that is heard again and what nobody is charged for are no part of what the session has used.
                Some(Unit::Second) | None => {}
            },
        }
    }
}

impl SqlStore {
    pub(in crate::records::store) async fn reserve(&self, ask: &Reserve<'_>) -> Result<Reserved, StoreError> {
        let id = ask.session_id.to_owned();
        let Reserve { epoch, through, spent, exposed, caps, at_ms, .. } = *ask;
        self.shared(Durability::PowerCut, move |mut tx| {
            async move {
                let locked = Locked::read(&mut tx, &id).await?.filter(|locked| locked.is_live);
                let Some(mut locked) = locked else { return Err(StoreError::NoSession { id }) };
                if locked.epoch != epoch {
                    return Err(StoreError::Fenced { id });
                }
                // What was exposed and is not reserved any more has been spent meanwhile, and can be lost no more.
                locked.exposed = locked.exposed.min(locked.reserved());
                let periods = Periods::at(at_ms);
                if locked.periods != periods {
                    // A new day has begun. What is reserved in the budgets of the old one is given back, and has to find room in the new
                    // ones.
                    release(&mut tx, locked.clone()).await?;
                    locked = Locked { authorised: locked.cost, periods, ..locked };
                }
                let (account, user) =
                    lock_and_name_budgets(&mut tx, &locked.owners, &locked.periods, &caps).await?;
                let ask = Reserve { session_id: &id, epoch, through, spent, exposed, caps, at_ms };
                grant(&mut tx, locked, &ask, account, user).await
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        let owed = settle.clone();
        let written = self.shared(Durability::PowerCut, move |mut tx| {
            async move {
                let settle = owed;
                let Some(mut locked) = Locked::read(&mut tx, &settle.session_id).await? else {
                    return erased::settle(&mut tx, &settle).await.map(Err);
                };
                if locked.epoch != settle.epoch && !is_still_owed(&mut tx, &locked, &settle).await? {
                    return Err(StoreError::Fenced { id: settle.session_id });
                }
                let account = &locked.owners.account_name;
                alerts::exceeded(&mut tx, &locked.id, account, &settle.rows, settle.at_ms).await?;
                credits::lock_late(&mut tx, &locked, &settle).await?;
                let is_rolled_up = comes_late(&mut tx, &locked, &settle).await?;
                let sums = append(&mut tx, &locked.id, &settle.rows, settle.at_ms).await?;
                if is_rolled_up {
                    rollups::put_back(&mut tx, &locked.id).await?;
                }
                let is_copy = locked.has(&settle);
                let exposed = if is_copy { locked.exposed } else { settle.exposed };
                let exposed = if locked.is_live { exposed } else { NanoUsd::ZERO };
                let release = settle.release && !is_copy || !locked.is_live;
                let (mut account, mut user) =
                    book(&mut tx, &mut locked, sums, exposed, release, Some(&settle)).await?;
                let late = credits::give_late(&mut tx, &locked, &settle).await?;
                account.spent = late.account_spent.unwrap_or(account.spent);
                user.spent = late.user_spent.unwrap_or(user.spent);
                let standing = locked.standing(settle.caps, account, user);
                let alerts = alerts::reached(&mut tx, &locked, &standing, settle.at_ms).await?;
                Ok(Ok((Settled { cost: locked.cost, standing, alerts }, late.cut)))
            }
            .boxed()
        });
        match written.await? {
            Ok((settled, cut)) => {
                cut.iter().for_each(credits::Cut::tell_operator);
                Ok(settled)
            }
            // The relay is told that the session is gone, and nothing else.
            Err(alerts) => {
                alerts.iter().for_each(operations::alerts::raised);
                if let Some(payer) = &settle.payer {
                    self.forget_who_is_gone(&payer.user_sub).await?;
                }
                Err(StoreError::Erased { id: settle.session_id.clone() })
            }
        }
    }
}

/// Takes a session that has ended out of the rollups, before rows are appended to its ledger. Says whether it was in there.
async fn comes_late(tx: &mut Tx<'_>, locked: &Locked, settle: &Settle) -> Result<bool, StoreError> {
    if locked.is_live || settle.rows.is_empty() {
        return Ok(false);
    }
    // The order of locks: budgets come before rollups.
    lock_budgets(tx, &locked.owners, &locked.periods).await?;
    rollups::take_out(tx, std::slice::from_ref(&locked.id)).await
}

/// Whether what a relay spent in an earlier epoch is owed nevertheless. It is if the session was ended from outside, nobody has metered
/// anything since, so that no audio was played again, and nothing was charged in its place. It is also if its rows are there already, since
/// settling may be repeated. What only gives something back meters nothing: it is owed unless something was charged in its place.
async fn is_still_owed(tx: &mut Tx<'_>, locked: &Locked, settle: &Settle) -> Result<bool, StoreError> {
    if locked.is_live || locked.epoch <= settle.epoch {
        return Ok(false);
    }
    let Some(first) = decisive(&settle.rows) else {
        let lost = tx.query(IS_CHARGED).bind(&*locked.id).bind(format!("lost@{}", settle.epoch));
        let is_charged = lost.fetch_optional(&mut *tx.connection).await?.is_some();
        return Ok(!settle.credits.is_empty() && !is_charged);
    };
    let query = tx.query(METERED).bind(&*locked.id).bind(format!("lost@{}", settle.epoch));
    let query = query.bind(&*first.key).bind(signed(first.quantity)).bind(&*first.item);
    let row = query.fetch_one(&mut *tx.connection).await?;
    let row = Reading::new(&row, &locked.id);
    let goes_on = goes_on(first, row.unsigned("samples")?) || row.unsigned("written")? > 0;
    Ok(goes_on && row.unsigned("charged")? == 0)
}

/// The row by which is decided whether another relay went on with the same audio: the first row of audio, or the first row if there is none.
pub(super) fn decisive(rows: &[LedgerRow]) -> Option<&LedgerRow> {
    rows.iter().find(|row| row.unit == SAMPLE).or(rows.first())
}

/// Whether a row of audio begins where the audio of its item ends in the ledger, after `samples`. A row of a request always goes on: it was
/// made once, whatever another relay has asked since.
pub(super) fn goes_on(row: &LedgerRow, samples: u64) -> bool {
    row.unit != SAMPLE || row.begins_at() == Some(samples)
}

/// The sums of a session's ledger rows, by item and unit.
pub(super) async fn by_item(tx: &mut Tx<'_>, id: &str) -> Result<Vec<ItemSum>, StoreError> {
    let rows = tx.query(SUM_BY_ITEM).bind(id).fetch_all(&mut *tx.connection).await;
    let sums = rows.and_then(|rows| rows.iter().map(|row| read::item_sum(id, row)).collect());
    sums.map_err(|error| read::needed(damage::LEDGER, error, || format!("a ledger row of session {id}")))
}

/// How much was spent of one of a session's budgets.
pub(super) async fn spent(tx: &mut Tx<'_>, locked: &Locked, scope: Scope) -> Result<NanoUsd, StoreError> {
    if scope == Scope::Session {
        return Ok(locked.cost);
    }
    Ok(budget(tx, READ_BUDGET, scope, &locked.owners, &locked.periods).await?.spent)
}

/// Sets aside as much as there is room for, in budgets that are locked.
pub(super) async fn grant(
    tx: &mut Tx<'_>,
    mut locked: Locked,
    ask: &Reserve<'_>,
    account: Counters,
    user: Counters,
) -> Result<Reserved, StoreError> {
    let caps = ask.caps;
    // Read anew, now that the budgets are locked: whoever sets a cap locks the budget as well, so nothing is granted by an older one.
    locked.overrides = budgets::read_overrides(tx, &locked.owners).await?;
    let standing = locked.standing(caps, account, user);
    let (scope, tightest) = standing
        .each()
        .into_iter()
        .min_by_key(|(_, balance)| balance.room())
        .expect("there are three budgets");
    let least = ask.through.at_least.saturating_sub(locked.authorised);
    let most = ask.through.at_most.max(ask.through.at_least).saturating_sub(locked.authorised);
    if tightest.room() < least {
        let contended = tightest.left().saturating_sub(locked.reserved()) >= least && scope != Scope::Session;
        let spent = ask.spent.max(locked.cost + locked.exposed);
        let before = locked.authorised;
        // A session that waits for others gives back everything that it has not spent, so that two sessions never wait for each other. What
        // it has spent and not settled stays reserved, even where a new day has just given everything back.
        locked.authorised = if contended { spent } else { before.max(spent) };
        if locked.authorised != before {
            authorise(tx, &locked, locked.exposed).await?;
            let change = signed(locked.authorised.get()) - signed(before.get());
            change_budgets(tx, &locked, 0, change).await?;
        }
        return Ok(Reserved::Short(Shortage {
            scope,
            balance: tightest,
            contended,
            authorised: locked.authorised,
        }));
    }
    let share = |budget: Balance| least.max(NanoUsd::new(budget.room().get() / SHARE));
    let more = most.min(standing.session.room()).min(share(standing.user)).min(share(standing.account));
    locked.authorised += more;
    authorise(tx, &locked, ask.exposed).await?;
    let (account, user) = if more == NanoUsd::ZERO {
        (account, user)
    } else {
        change_budgets(tx, &locked, 0, signed(more.get())).await?
    };
    Ok(Reserved::Granted(Grant {
        authorised: locked.authorised,
        standing: locked.standing(caps, account, user),
    }))
}

async fn authorise(tx: &mut Tx<'_>, locked: &Locked, exposed: NanoUsd) -> Result<(), StoreError> {
    tx.query(AUTHORISE)
        .bind(signed(locked.authorised.get()))
        .bind(signed(exposed.get()))
        .bind(&*locked.periods.user)
        .bind(&*locked.periods.account)
        .bind(&*locked.id)
        .execute(&mut *tx.connection)
        .await?;
    Ok(())
}

/// Gives back everything that a session has reserved and not spent.
pub(super) async fn release(tx: &mut Tx<'_>, mut locked: Locked) -> Result<(), StoreError> {
    if locked.reserved() > NanoUsd::ZERO || locked.exposed > NanoUsd::ZERO {
        book(tx, &mut locked, Sums::default(), NanoUsd::ZERO, true, None).await?;
    }
    Ok(())
}

/// Charges what a lost session had exposed, as an estimate, and gives back the rest. The epoch rises with the charge, so that the lost
/// relay's own settlements, if they come after all, are refused and nothing is charged twice.
pub(super) async fn write_off(tx: &mut Tx<'_>, mut locked: Locked) -> Result<WrittenOff, StoreError> {
    let charge = locked.exposed.min(locked.reserved());
    if charge == NanoUsd::ZERO {
        release(tx, locked).await?;
        return Ok(WrittenOff::default());
    }
    let (row, at_ms) = (LedgerRow::lost(locked.epoch, charge), unix_ms());
    let sums = append(tx, &locked.id, std::slice::from_ref(&row), at_ms).await?;
    tx.query(FENCE).bind(&*locked.id).execute(&mut *tx.connection).await?;
    let (account, user) = book(tx, &mut locked, sums, NanoUsd::ZERO, true, None).await?;
    let caps = last_caps(tx, &locked.owners, &locked.periods).await?;
    let standing = locked.standing(caps, account, user);
    let alerts = alerts::reached(tx, &locked, &standing, at_ms).await?;
    Ok(WrittenOff { charged: Some((locked.id, row)), alerts })
}

/// Appends rows to the ledger, and returns the sums of those that were not there.
async fn append(tx: &mut Tx<'_>, id: &str, rows: &[LedgerRow], at_ms: i64) -> Result<Sums, StoreError> {
    let mut sums = Sums::default();
    for row in rows {
        let done = tx
            .query(APPEND)
            .bind(id)
            .bind(&*row.key)
            .bind(&*row.provider)
            .bind(&*row.item)
            .bind(&*row.unit)
            .bind(signed(row.quantity))
            .bind(signed(row.price.get()))
            .bind(signed(row.per))
            .bind(&*row.price_version)
            .bind(signed(row.cost.get()))
            .bind(i64::from(row.estimated))
            .bind(row.turn.map(i64::from))
            .bind(row.request_id.as_deref())
            .bind(at_ms)
            .execute(&mut *tx.connection)
            .await?;
        if done.rows_affected() == 1 {
            sums.add(row);
        }
    }
    Ok(sums)
}

/// Adds to a session's cost and takes that out of what is reserved, both in the session's row and in its budgets.
async fn book(
    tx: &mut Tx<'_>,
    locked: &mut Locked,
    sums: Sums,
    exposed: NanoUsd,
    release: bool,
    settle: Option<&Settle>,
) -> Result<(Counters, Counters), StoreError> {
    let reserved = locked.reserved();
    let committed = settle.map(|settle| settle.committed).unwrap_or_default();
    locked.cost += sums.cost;
    locked.authorised = if release { locked.cost } else { locked.authorised.max(locked.cost) };
    locked.exposed = exposed;
    let news = settle.filter(|settle| !locked.has(settle));
    locked.settlements = locked.settlements.max(settle.map_or(0, |settle| settle.number));
    tx.query(ADD_COST)
        .bind(signed(locked.cost.get()))
        .bind(signed(locked.authorised.get()))
        .bind(signed(exposed.get()))
        .bind(signed(sums.samples))
        .bind(signed(sums.tokens))
        .bind(signed(sums.characters))
        .bind(settle.map_or(0, |settle| i64::from(settle.metered_position)))
        .bind(i64::from(committed.seq))
        .bind(i64::from(committed.position))
        .bind(news.map(|settle| i64::from(settle.replayable_samples)))
        .bind(i64::from(locked.settlements))
        .bind(&*locked.id)
        .execute(&mut *tx.connection)
        .await?;
    let change = signed(locked.reserved().get()) - signed(reserved.get());
    if sums.cost == NanoUsd::ZERO && change == 0 {
        let account = budget(tx, READ_BUDGET, Scope::Account, &locked.owners, &locked.periods).await?;
        let user = budget(tx, READ_BUDGET, Scope::User, &locked.owners, &locked.periods).await?;
        return Ok((account, user));
    }
    change_budgets(tx, locked, signed(sums.cost.get()), change).await
}
