//! How what is owed stands in the file. Entries of an earlier relay are read as well: fields that came later may be missing in them.

use protocol::{Mark, Role};
use serde::{Deserialize, Serialize};

use super::Owed;
use crate::call::{Latency, Turn};
use crate::money::NanoUsd;
use crate::money::budget::{Caps, Overrides, TokenCaps};
use crate::money::ledger::{LateCredit, LedgerRow};
use crate::records::store::{Payer, Quality, Settle};

/// An entry as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Entry {
    Turns {
        turns: Vec<TurnEntry>,
        seq: u32,
        position: u32,
        #[serde(default)]
        replayable_samples: u32,
    },
    Settle(SettleEntry),
    End {
        reason: String,
        rtt_avg_us: u32,
        rtt_max_us: u32,
        lost_samples: u64,
        at_ms: i64,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct TurnEntry {
    turn: u32,
    role: String,
    text: String,
    start: u32,
    end: u32,
    heard: Option<u32>,
    stt_ms: Option<u32>,
    llm_ms: Option<u32>,
    tts_ms: Option<u32>,
    send_ms: Option<u32>,
    heard_ms: Option<u32>,
    total_ms: Option<u32>,
    #[serde(default)]
    revision: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettleEntry {
    session_id: String,
    #[serde(default)]
    payer: Option<PayerEntry>,
    epoch: u32,
    #[serde(default)]
    number: u32,
    rows: Vec<RowEntry>,
    #[serde(default)]
    credits: Vec<CreditEntry>,
    metered_position: u32,
    #[serde(default)]
    seq: u32,
    #[serde(default)]
    position: u32,
    #[serde(default)]
    replayable_samples: u32,
    exposed: u64,
    release: bool,
    caps: [u64; 3],
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct PayerEntry {
    user_sub: String,
    account: String,
}

#[derive(Serialize, Deserialize)]
struct CreditEntry {
    key: String,
    samples: u64,
    amount: u64,
}

#[derive(Serialize, Deserialize)]
struct RowEntry {
    key: String,
    provider: String,
    item: String,
    unit: String,
    quantity: u64,
    price: u64,
    per: u64,
    price_version: String,
    cost: u64,
    estimated: bool,
    #[serde(default)]
    turn: Option<u32>,
    #[serde(default)]
    request_id: Option<String>,
}

impl From<&Owed> for Entry {
    fn from(owed: &Owed) -> Entry {
        match owed {
            Owed::Turns { turns, committed, replayable } => Entry::Turns {
                turns: turns.iter().map(TurnEntry::from).collect(),
                seq: committed.seq,
                position: committed.position,
                replayable_samples: *replayable,
            },
            Owed::Settle(settle) => Entry::Settle(SettleEntry {
                session_id: settle.session_id.clone(),
                payer: settle.payer.as_ref().map(PayerEntry::from),
                epoch: settle.epoch,
                number: settle.number,
                rows: settle.rows.iter().map(RowEntry::from).collect(),
                credits: settle.credits.iter().map(CreditEntry::from).collect(),
                metered_position: settle.metered_position,
                seq: settle.committed.seq,
                position: settle.committed.position,
                replayable_samples: settle.replayable_samples,
                exposed: settle.exposed.get(),
                release: settle.release,
                caps: {
                    let (user_day, account_month) = settle.caps.with(&Overrides::default());
                    [settle.caps.session, user_day, account_month].map(NanoUsd::get)
                },
                at_ms: settle.at_ms,
            }),
            Owed::End { reason, quality, at_ms } => Entry::End {
                reason: reason.clone(),
                rtt_avg_us: quality.rtt_avg_us,
                rtt_max_us: quality.rtt_max_us,
                lost_samples: quality.lost_samples,
                at_ms: *at_ms,
            },
        }
    }
}

impl TryFrom<Entry> for Owed {
    type Error = ();

    fn try_from(entry: Entry) -> Result<Owed, ()> {
        Ok(match entry {
            Entry::Turns { turns, seq, position, replayable_samples } => Owed::Turns {
                turns: turns.into_iter().map(Turn::try_from).collect::<Result<_, ()>>()?,
                committed: Mark { seq, position },
                replayable: replayable_samples,
            },
            Entry::Settle(settle) => {
                let [session, user_day, account_month] = settle.caps.map(NanoUsd::new);
                Owed::Settle(Box::new(Settle {
                    session_id: settle.session_id,
                    payer: settle.payer.map(Payer::from),
                    epoch: settle.epoch,
                    number: settle.number,
                    rows: settle.rows.into_iter().map(LedgerRow::from).collect(),
                    credits: settle.credits.into_iter().map(LateCredit::from).collect(),
                    metered_position: settle.metered_position,
                    committed: Mark { seq: settle.seq, position: settle.position },
                    replayable_samples: settle.replayable_samples,
                    exposed: NanoUsd::new(settle.exposed),
                    release: settle.release,
                    caps: Caps { session, user_day, account_month, token: TokenCaps::NONE },
                    at_ms: settle.at_ms,
                }))
            }
            Entry::End { reason, rtt_avg_us, rtt_max_us, lost_samples, at_ms } => {
                Owed::End { reason, quality: Quality { rtt_avg_us, rtt_max_us, lost_samples }, at_ms }
            }
        })
    }
}

impl From<&Payer> for PayerEntry {
    fn from(payer: &Payer) -> PayerEntry {
        PayerEntry { user_sub: payer.user_sub.clone(), account: payer.account.clone() }
    }
}

impl From<PayerEntry> for Payer {
    fn from(PayerEntry { user_sub, account }: PayerEntry) -> Payer {
        Payer { user_sub, account }
    }
}

impl From<&Turn> for TurnEntry {
    fn from(turn: &Turn) -> TurnEntry {
        let Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms } = turn.latency;
        let role = match turn.role {
            Role::User => "user",
            Role::Agent | Role::Unknown => "agent",
        };
        TurnEntry {
            turn: turn.turn,
            role: role.into(),
            text: turn.text.clone(),
            start: turn.start,
            end: turn.end,
            heard: turn.heard,
            stt_ms,
            llm_ms,
            tts_ms,
            send_ms,
            heard_ms,
            total_ms,
            revision: turn.revision,
        }
    }
}

impl TryFrom<TurnEntry> for Turn {
    type Error = ();

    fn try_from(entry: TurnEntry) -> Result<Turn, ()> {
        let TurnEntry { turn, role, text, start, end, heard, revision, .. } = entry;
        let TurnEntry { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms, .. } = entry;
        let role = match role.as_str() {
            "user" => Role::User,
            "agent" => Role::Agent,
            _ => return Err(()),
        };
        Ok(Turn {
            turn,
            role,
            text,
            start,
            end,
            heard,
            latency: Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms },
            revision,
        })
    }
}

impl From<&LateCredit> for CreditEntry {
    fn from(LateCredit { key, samples, amount }: &LateCredit) -> CreditEntry {
        CreditEntry { key: key.clone(), samples: *samples, amount: amount.get() }
    }
}

impl From<CreditEntry> for LateCredit {
    fn from(CreditEntry { key, samples, amount }: CreditEntry) -> LateCredit {
        LateCredit { key, samples, amount: NanoUsd::new(amount) }
    }
}

impl From<&LedgerRow> for RowEntry {
    fn from(row: &LedgerRow) -> RowEntry {
        RowEntry {
            key: row.key.clone(),
            provider: row.provider.clone(),
            item: row.item.clone(),
            unit: row.unit.clone(),
            quantity: row.quantity,
            price: row.price.get(),
            per: row.per,
            price_version: row.price_version.clone(),
            cost: row.cost.get(),
            estimated: row.estimated,
            turn: row.turn,
            request_id: row.request_id.clone(),
        }
    }
}

impl From<RowEntry> for LedgerRow {
    fn from(entry: RowEntry) -> LedgerRow {
        LedgerRow {
            key: entry.key,
            provider: entry.provider,
            item: entry.item,
            unit: entry.unit,
            quantity: entry.quantity,
            price: NanoUsd::new(entry.price),
            per: entry.per,
            price_version: entry.price_version,
            cost: NanoUsd::new(entry.cost),
            estimated: entry.estimated,
            turn: entry.turn,
            request_id: entry.request_id,
        }
    }
}
