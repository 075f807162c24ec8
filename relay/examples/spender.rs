//! Spends money until it is killed: reserve, expose, spend, settle, over and over. What it really does it writes to a file, line by line,
//! as a provider's own books would have it. `tests/store_suite/crash.rs` kills it at each step and compares.
//!
//! `spender <SQLite file or PostgreSQL URL> <books> <session> [<step to die at>]`

#[path = "../tests/support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use relay::NanoUsd;
use relay::config::Secret;
use relay::money::budget::{Caps, Range, Reserved, TokenCaps};
use relay::records::store::{Quota, Reserve, SqlStore, Store};

/// The round in which it dies at the step it is told to.
const LAST_ROUND: u64 = 3;
const CAPS: Caps = Caps {
    session: NanoUsd::MAX,
    user_day: NanoUsd::MAX,
    account_month: NanoUsd::MAX,
    token: TokenCaps::NONE,
};

struct Spender {
    store: SqlStore,
    books: File,
    session: String,
    die_at: Option<String>,
    round: u64,
    /// What was settled in earlier rounds.
    cost: u64,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("three arguments");
    let (database, books, session) = (argument(), argument(), argument());
    let store = if database.starts_with("postgres://") {
        SqlStore::postgres(&Secret::new(database)).await
    } else {
        SqlStore::sqlite(Path::new(&database)).await
    };
    let books = OpenOptions::new().create(true).append(true).open(books).expect("the books");
    let store = store.expect("the database");
    let mut spender = Spender { store, books, session, die_at: arguments.next(), round: 0, cost: 0 };
    spender.open().await;
    loop {
        spender.round += 1;
        spender.spend().await;
    }
}

impl Spender {
    async fn open(&mut self) {
        let quota = Quota {
            sessions_per_user: u32::MAX,
            sessions_per_account: u32::MAX,
            caps: CAPS,
            reserve: Range { at_least: NanoUsd::ZERO, at_most: NanoUsd::new(10) },
            relay: self.session.clone(),
            ..records::quota()
        };
        records::open(&self.store, &records::session(&self.session), &quota).await;
    }

    async fn spend(&mut self) {
        let price = 1 + self.round * 31 % 97;
        self.step("before reserve");
        self.reserve(price, 0).await;
        self.step("after reserve");
        self.write(&format!("intent {} {price}", self.round));
        self.reserve(price, price).await;
        self.step("after expose");
        self.write(&format!("spent {} {price}", self.round));
        self.step("after spend");
        self.settle(price).await;
        self.step("after settle");
        self.write(&format!("settled {}", self.round));
        if self.round.is_multiple_of(2) {
            // As a retry after a lost answer does.
            self.settle(price).await;
        }
        self.cost += price;
    }

    async fn reserve(&self, price: u64, exposed: u64) {
        let ask = Reserve {
            spent: NanoUsd::new(self.cost),
            exposed: NanoUsd::new(exposed),
            ..records::reserve(&self.session, self.cost + price, self.cost + 300, CAPS)
        };
        let reserved = self.store.reserve(&ask).await.expect("written");
        assert!(matches!(reserved, Reserved::Granted(_)), "{reserved:?}");
    }

    async fn settle(&self, price: u64) {
        let row = records::row(&format!("round {}", self.round), price, price);
        let settle = records::settle(&self.session, vec![row], CAPS);
        let settled = self.store.settle(&settle).await.expect("written");
        assert_eq!(settled.cost.get(), self.cost + price);
    }

    /// In one piece: a line is there or not, whenever this is killed.
    fn write(&mut self, line: &str) {
        self.books.write_all(format!("{line}\n").as_bytes()).expect("written");
    }

    /// Dies here, as by `kill -9`, if it was told to.
    fn step(&self, name: &str) {
        if self.round == LAST_ROUND && self.die_at.as_deref() == Some(name) {
            let me = std::process::id().to_string();
            let _ = Command::new("kill").args(["-KILL", &me]).status();
            loop {
                std::thread::park();
            }
        }
    }
}
