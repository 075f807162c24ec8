//! A call whose agent is the echo, in budgets without bounds.

use protocol::Mark;
use relay::NanoUsd;
use relay::call::Start;
use relay::money::budget::{Caps, Grant, Standing, TokenCaps};
use relay::money::meter::Meter;
use relay::money::price::PriceTable;
use relay::money::tab::{Earlier, Tab};

/// Its start, with so much authorised. A relay before this one has metered audio up to `metered_through`, and `replayable` samples before that may
/// be played again.
pub(crate) fn start(authorised: NanoUsd, replayable: u32, metered_through: u32) -> Start {
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let price = PriceTable::shipped().price("echo/listening").expect("priced").clone();
    Start {
        mark: Mark::default(),
        turn: 0,
        tab: Tab::new(Meter::new(price, 16_000), Vec::new(), 0, Earlier::default()),
        caps,
        grant: Grant { authorised, standing: Standing::unused(caps) },
        is_taken_over: false,
        replayable,
        metered_through,
        ends: None,
        broken_off: Vec::new(),
    }
}
