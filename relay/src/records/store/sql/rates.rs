//! Sessions that begin in a minute, counted by user and by address over all relays of the database.
//!
//! Of each user and each address there is one row, with the time at which the whole minute is there again ([`PerMinute`] has the arithmetic). The
//! database's clock decides, because those of two relays differ.

use protocol::ErrorCode;

use super::super::types::Quota;
use super::budget_rows::hashed;
use super::read::Reading;
use super::{Sql, StoreError, Tx, sql};
use crate::admission::throttle::{Excess, PerMinute, network};

/// Takes one of the user's minute and one of the address's, in one statement. The clock is read where a row is locked and not before, so that it
/// is never behind the time that another transaction has just written: such a time would look as if the clock had been set back.
const TAKE: Sql = sql!(
    "INSERT INTO rates (key, tat_us) VALUES ($1, " NOW " * 1000 + $2), ($3, " NOW " * 1000 + $4)
    ON CONFLICT (key) DO UPDATE SET tat_us =
        CASE WHEN rates.tat_us BETWEEN " NOW " * 1000 AND " NOW " * 1000 + 60000000 THEN rates.tat_us
            ELSE " NOW " * 1000 END
        + CASE WHEN rates.key = $1 THEN $2 ELSE $4 END
    RETURNING key, tat_us - " NOW " * 1000 AS ahead_us"
);

/// Counts a session that a user begins, and says whether it was one too many for the user or else for the address. If it was, the transaction is
/// to be undone, and so counts for neither.
pub(super) async fn take(
    tx: &mut Tx<'_>,
    user_sub: &str,
    quota: &Quota,
) -> Result<Option<Excess>, StoreError> {
    let of_user = PerMinute(quota.sessions_per_minute);
    let of_address = PerMinute(quota.sessions_per_minute_per_address);
    let user = hashed("user", user_sub);
    let address = hashed("address", &network(quota.address).to_string());
    let taken = tx
        .query(TAKE)
        .bind(&user)
        .bind(of_user.cost_us())
        .bind(&address)
        .bind(of_address.cost_us())
        .fetch_all(&mut *tx.connection)
        .await?;
    let ahead_us = |key: &str| -> Result<i64, StoreError> {
        for row in &taken {
            let row = Reading::new(row, "a rate");
            if row.text("key")? == key {
                return row.signed("ahead_us");
            }
        }
        Err(sqlx::Error::RowNotFound.into())
    };
    let excess = of_user.excess(ErrorCode::SessionRate, ahead_us(&user)?);
    Ok(excess.or(of_address.excess(ErrorCode::AddressRate, ahead_us(&address)?)))
}
