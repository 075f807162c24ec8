//! What is logged and counted of a session. Its id is in the span that the lines are written in.

use protocol::CloseCode;

use super::machine::{Log, Machine};
use super::policy::{Departure, Note};
use crate::operations::telemetry;

pub(super) fn log(log: Log) {
    match log {
        Log::ConnectionLost => tracing::info!("connection lost"),
        Log::Violation(code) => {
            tracing::info!(code = code.code(), "the client broke the rules of its transport");
        }
        Log::Dropped(samples) => tracing::warn!(ms = samples / 16, "the client dropped audio"),
        Log::Away(error) => {
            tracing::warn!(%error, "the database is away; what is to be written waits");
        }
        Log::Back => tracing::info!("the database is back"),
        Log::Answered(latency) => {
            tracing::debug!(turn = latency.turn, total_ms = latency.total_ms, "answered");
            telemetry::answered(&latency);
        }
        Log::Interrupted => telemetry::interruption(),
        Log::FalseInterruption => telemetry::false_interruption(),
        Log::Policy(note) => log_note(note),
    }
}

fn log_note(note: Note) {
    match note {
        Note::Moved(moment) => {
            tracing::info!(at = moment.name(), "the client is sent elsewhere");
            telemetry::moved(moment);
        }
        Note::Resumed { reconnects } => {
            tracing::info!(reconnects, "session resumed");
            telemetry::resumed(telemetry::Resume::Here);
        }
        Note::ResumeTokenLate => tracing::warn!("the resume token was not stored in time"),
        Note::Erased => {
            tracing::info!("the session was deleted: it ends, and what was spent is on the account's bill");
        }
        Note::NotStored { why } => {
            tracing::error!(error = %why, "a record was not stored: the session ends");
        }
        Note::NotStoredOnLeaving { why } => {
            tracing::error!(error = %why, "a record was not stored");
        }
        Note::EndNotStored { why } => {
            tracing::warn!(error = %why, "the session's end was not stored");
        }
        Note::NotSetAside { why } => {
            tracing::error!(error = %why, "no money could be set aside: the session ends");
        }
        Note::KeptHere => tracing::warn!("records were not stored in time: they are kept here"),
        Note::TokenRefused { cause, why } => {
            tracing::info!(cause, %why, "a fresh token was refused");
            telemetry::token_refused(cause);
        }
    }
}

/// Logs how the session is over here, and returns the code that its connection is closed with.
pub(super) fn log_departure(departure: Departure, machine: &Machine) -> CloseCode {
    match departure {
        Departure::Ended(code) => {
            let usage = machine.usage();
            tracing::info!(
                reason = code.name(),
                audio_ms = usage.audio_ms,
                cost_nano_usd = usage.cost_nano_usd,
                reconnects = machine.reconnects(),
                "session ended"
            );
            code
        }
        Departure::TakenOver => {
            tracing::info!("session lost to another relay");
            CloseCode::Replaced
        }
        Departure::HandedOff { code, .. } => {
            tracing::info!(reason = code.name(), "session left to the next relay");
            code
        }
    }
}
