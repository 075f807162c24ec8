//! Budgets as they are listed, and caps that administrators set in the place of configuration and plan.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::budgets::{BudgetCursor, BudgetFilter, BudgetRow, BudgetUse, BudgetsOf, NewCap};
use super::super::query::Page;
use super::super::unix_ms;
use super::audit::{self, Done};
use super::budget_rows::{self, Counters, Owners, Periods};
use super::page::Select;
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, signed, sql};
use crate::money::budget::{Overrides, Scope};

const OVERRIDES: Sql = sql!(
    "SELECT (SELECT cap_nano_usd FROM budget_caps WHERE scope = 'user' AND subject = $1) AS user_cap,
        (SELECT cap_nano_usd FROM budget_caps WHERE scope = 'account' AND subject = $2) AS account_cap"
);

const SET: Sql = sql!(
    "INSERT INTO budget_caps (scope, subject, cap_nano_usd) VALUES ($1, $2, $3)
    ON CONFLICT (scope, subject) DO UPDATE SET cap_nano_usd = excluded.cap_nano_usd"
);

const TAKE_BACK: Sql = sql!("DELETE FROM budget_caps WHERE scope = $1 AND subject = $2");

const NAMED_SO: Sql = sql!("SELECT owner, period FROM budgets WHERE scope = 'user' AND name = $1");

const FORGET_NAME: Sql =
    sql!("UPDATE budgets SET name = NULL WHERE scope = 'user' AND owner = $1 AND period = $2");

const FORGET_CAP: Sql = sql!("DELETE FROM budget_caps WHERE scope = 'user' AND subject = $1");

/// Budgets with what may be spent of them: what was set, or else what configuration and plan say, and at most what the token says.
const NAMED: &str = "SELECT scope, name, period, spent_nano_usd, reserved_nano_usd, set_nano_usd, cap_nano_usd FROM (
    SELECT budgets.scope AS scope, budgets.name AS name, budgets.period AS period, budgets.spent_nano_usd AS spent_nano_usd,
        budgets.reserved_nano_usd AS reserved_nano_usd, budget_caps.cap_nano_usd AS set_nano_usd,
        CASE WHEN budgets.token_nano_usd < COALESCE(budget_caps.cap_nano_usd, budgets.plan_nano_usd)
            THEN budgets.token_nano_usd ELSE COALESCE(budget_caps.cap_nano_usd, budgets.plan_nano_usd) END AS cap_nano_usd
    FROM budgets LEFT JOIN budget_caps ON budget_caps.scope = budgets.scope AND budget_caps.subject = budgets.name
    WHERE budgets.name IS NOT NULL";

/// Goes on with the caps that are set for somebody of whom no budget of the period has the name: no call of theirs has set money aside in it, or they
/// were erased since. A budget is known by a hash that databases do not make, so what is used of it is read for each of them afterwards. Until then
/// they have no period.
const SET_ALONE: &str = " UNION ALL SELECT budget_caps.scope, budget_caps.subject, '', 0, 0, budget_caps.cap_nano_usd, budget_caps.cap_nano_usd
    FROM budget_caps WHERE NOT EXISTS (SELECT 1 FROM budgets WHERE budgets.scope = budget_caps.scope AND budgets.name = budget_caps.subject
        AND budgets.period = CASE budget_caps.scope WHEN 'user' THEN ? ELSE ? END)";

impl SqlStore {
    /// Takes a user's name out of their budgets. The next call that sets money aside puts it back. Each budget is changed by itself, so that
    /// a call which waits for one of them while it has another is waited for by nobody here.
    pub(super) async fn forget_name(&self, sub: &str) -> Result<(), StoreError> {
        for row in self.statement(NAMED_SO).bind(sub).fetch_all(&self.writer).await? {
            let (owner, period): (String, String) = (row.try_get("owner")?, row.try_get("period")?);
            self.statement(FORGET_NAME).bind(owner).bind(period).execute(&self.writer).await?;
        }
        Ok(())
    }

    pub(in crate::records::store) async fn budgets_of(
        &self,
        user_sub: &str,
        account: &str,
        at_ms: i64,
    ) -> Result<BudgetsOf, StoreError> {
        let (owners, periods) = (Owners::new(user_sub, account), Periods::at(at_ms));
        let user = self.used(Scope::User, &owners, &periods).await?;
        let account = self.used(Scope::Account, &owners, &periods).await?;
        let query = self.statement(OVERRIDES).bind(&owners.user_name).bind(&owners.account_name);
        let row = query.fetch_one(&self.readers).await?;
        let overrides = overrides(&Reading::new(&row, "what administrators have set"))?;
        Ok(BudgetsOf { user, account, overrides })
    }

    async fn used(&self, scope: Scope, owners: &Owners, periods: &Periods) -> Result<BudgetUse, StoreError> {
        let (owner, period) = budget_rows::key(scope, owners, periods);
        let query = self.statement(budget_rows::READ_BUDGET).bind(scope.name()).bind(owner).bind(period);
        let row = query.fetch_optional(&self.readers).await?;
        let counters =
            row.map_or(Ok(Counters::default()), |row| Counters::read(&row, scope, (owner, period)))?;
        Ok(BudgetUse { period: period.to_owned(), spent: counters.spent, reserved: counters.reserved })
    }

    pub(in crate::records::store) async fn list_budgets(
        &self,
        filter: &BudgetFilter,
        after: Option<&BudgetCursor>,
        limit: u32,
    ) -> Result<Page<BudgetRow, BudgetCursor>, StoreError> {
        let periods = Periods::at(filter.at_ms);
        let Periods { user, account } = &periods;
        let (scope, subject) = (filter.scope.map(Scope::name), filter.subject.as_deref());
        let mut select = Select::new(NAMED);
        select.push(
            " AND ((budgets.scope = 'user' AND budgets.period = ?) OR (budgets.scope = 'account' AND budgets.period = ?))",
            [user.into(), account.into()],
        );
        select.push_if(" AND budgets.scope = ?", scope);
        select.push_if(" AND budgets.name = ?", subject);
        // Nothing is no share of any cap.
        if filter.above_percent.is_none() {
            select.push(SET_ALONE, [user.into(), account.into()]);
            select.push_if(" AND budget_caps.scope = ?", scope);
            select.push_if(" AND budget_caps.subject = ?", subject);
        }
        select.push(") AS named WHERE 1 = 1", []);
        // In fractions, because a cap may be as large as a number can be.
        select.push_if(
            " AND 100.0 * (spent_nano_usd + reserved_nano_usd) > 1.0 * cap_nano_usd * ?",
            filter.above_percent.map(i64::from),
        );
        if let Some(BudgetCursor { scope, name }) = after {
            select.push(" AND (scope, name) > (?, ?)", [scope.into(), name.into()]);
        }
        select.push(" ORDER BY scope, name", []);
        let cursor =
            |row: &BudgetRow| BudgetCursor { scope: row.scope.name().to_owned(), name: row.name.clone() };
        let page = select.page(&self.readers, damage::BUDGETS, limit, read, cursor).await?;
        let (mut rows, mut damaged) = (Vec::with_capacity(page.rows.len()), page.damaged);
        for row in page.rows {
            if !row.used.period.is_empty() {
                rows.push(row);
                continue;
            }
            match self.used(row.scope, &Owners::new(&row.name, &row.name), &periods).await {
                Ok(used) => rows.push(BudgetRow { used, ..row }),
                Err(error) if error.is_damage() => damaged += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Page { rows, next: page.next, damaged })
    }

    pub(in crate::records::store) async fn set_cap(&self, new: &NewCap) -> Result<(), StoreError> {
        let NewCap { scope, subject, cap, reason, by } = new.clone();
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                lock(&mut tx, scope, &subject).await?;
                let query = tx.query(SET).bind(scope.name()).bind(&subject).bind(signed(cap.get()));
                query.execute(&mut *tx.connection).await?;
                let told = match scope {
                    Scope::Account => format!("{subject}: {} nano-dollars", cap.get()),
                    Scope::User | Scope::Session => format!("{} nano-dollars", cap.get()),
                };
                let user_sub = (scope == Scope::User).then_some(&*subject);
                let what = DeedKind::SetBudget;
                audit::write(&mut tx, Done { by: &by, what, user_sub, subject: &told, reason: &reason }).await
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn take_back_cap(
        &self,
        scope: Scope,
        subject: &str,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (subject, by) = (subject.to_owned(), by.to_owned());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                lock(&mut tx, scope, &subject).await?;
                let query = tx.query(TAKE_BACK).bind(scope.name()).bind(&subject);
                let was_set = query.execute(&mut *tx.connection).await?.rows_affected() > 0;
                if was_set {
                    let (user_sub, told) = match scope {
                        Scope::Account => (None, &*subject),
                        Scope::User | Scope::Session => (Some(&*subject), ""),
                    };
                    let what = DeedKind::ResetBudget;
                    audit::write(&mut tx, Done { by: &by, what, user_sub, subject: told, reason: "" })
                        .await?;
                }
                Ok(was_set)
            }
            .boxed()
        })
        .await
    }
}

/// Takes back what was set for an erased user.
pub(super) async fn forget_cap(tx: &mut Tx<'_>, sub: &str) -> Result<(), StoreError> {
    tx.query(FORGET_CAP).bind(sub).execute(&mut *tx.connection).await?;
    Ok(())
}

/// What administrators have set for the owners of budgets that are locked.
pub(super) async fn read_overrides(tx: &mut Tx<'_>, owners: &Owners) -> Result<Overrides, StoreError> {
    let query = tx.query(OVERRIDES).bind(&owners.user_name).bind(&owners.account_name);
    let row = query.fetch_one(&mut *tx.connection).await?;
    overrides(&Reading::new(&row, "what administrators have set"))
}

pub(super) fn overrides(row: &Reading<'_>) -> Result<Overrides, StoreError> {
    let cap = |column| Ok::<_, StoreError>(row.maybe_unsigned(column)?.map(crate::NanoUsd::new));
    Ok(Overrides { user_day: cap("user_cap")?, account_month: cap("account_cap")? })
}

/// Locks the budget of the period that is, so that whatever is set aside after this transaction is set aside by the cap that it leaves.
async fn lock(tx: &mut Tx<'_>, scope: Scope, subject: &str) -> Result<(), StoreError> {
    let (owners, periods) = (Owners::new(subject, subject), Periods::at(unix_ms()));
    let (owner, period) = budget_rows::key(scope, &owners, &periods);
    let query = tx.query(budget_rows::LOCK_BUDGET).bind(scope.name()).bind(owner).bind(period);
    query.fetch_one(&mut *tx.connection).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<BudgetRow, StoreError> {
    let name = named(row, "budget of", "name");
    let row = Reading::new(row, &name);
    let scope = match row.text("scope")?.as_str() {
        "user" => Scope::User,
        "account" => Scope::Account,
        _ => return Err(row.corrupt("scope")),
    };
    Ok(BudgetRow {
        scope,
        name: row.text("name")?,
        used: BudgetUse {
            period: row.text("period")?,
            spent: row.money("spent_nano_usd")?,
            reserved: row.money("reserved_nano_usd")?,
        },
        cap: row.money("cap_nano_usd")?,
        set: row.maybe_unsigned("set_nano_usd")?.map(crate::NanoUsd::new),
    })
}
