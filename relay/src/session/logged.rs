//! What is logged and counted of a session.

use protocol::CloseCode;

use super::machine::{Log, Machine};
use super::policy::{Departure, Note};
use crate::operations::telemetry;

pub(super) fn log(session: &str, log: Log) {
    match log {
        Log::ConnectionLost => tracing::info!(%session, "connection lost"),
        Log::Violation(code) => {
            tracing::info!(%session, code = code.code(), "the client broke the rules of its transport");
        }
        Log::Dropped(samples) => tracing::warn!(%session, ms = samples / 16, "the client dropped audio"),
        Log::Away(error) => {
            tracing::warn!(%session, %error, "the database is away; what is to be written waits");
        }
        Log::Back => tracing::info!(%session, "the database is back"),
        Log::Answered(latency) => {
            tracing::debug!(%session, turn = latency.turn, total_ms = latency.total_ms, "answered");
            telemetry::answered(&latency);
        }
        Log::Interrupted => telemetry::interruption(),
        Log::FalseInterruption => telemetry::false_interruption(),
        Log::Policy(note) => log_note(session, note),
    }
}

fn log_note(session: &str, note: Note) {
    match note {
        Note::Moved(moment) => {
            tracing::info!(%session, at = moment.name(), "the client is sent elsewhere");
            telemetry::moved(moment);
        }
        Note::Resumed { reconnects } => {
            tracing::info!(%session, reconnects, "session resumed");
            telemetry::resumed(telemetry::Resume::Here);
        }
        Note::ResumeTokenLate => tracing::warn!(%session, "the resume token was not stored in time"),
        Note::Erased => tracing::info!(
            %session,
            "the session was deleted: it ends, and what was spent is on the account's bill"
        ),
        Note::NotStored { why } => {
            tracing::error!(%session, error = %why, "a record was not stored: the session ends");
        }
        Note::NotStoredOnLeaving { why } => {
            tracing::error!(%session, error = %why, "a record was not stored");
        }
        Note::EndNotStored { why } => {
            tracing::warn!(%session, error = %why, "the session's end was not stored");
        }
        Note::NotSetAside { why } => {
            tracing::error!(%session, error = %why, "no money could be set aside: the session ends");
        }
        Note::KeptHere => tracing::warn!(%session, "records were not stored in time: they are kept here"),
        Note::TokenRefused { cause, why } => {
            tracing::info!(%session, cause, %why, "a fresh token was refused");
            telemetry::token_refused(cause);
        }
    }
}

/// Logs how the session is over here, and returns the code that its connection is closed with.
pub(super) fn log_departure(session: &str, departure: Departure, machine: &Machine) -> CloseCode {
    match departure {
        Departure::Ended(code) => {
            let usage = machine.usage();
            tracing::info!(
                %session,
                reason = code.name(),
                audio_ms = usage.audio_ms,
                cost_nano_usd = usage.cost_nano_usd,
                reconnects = machine.reconnects(),
                "session ended"
            );
            code
        }
        Departure::TakenOver => {
            tracing::info!(%session, "session lost to another relay");
            CloseCode::Replaced
        }
        Departure::HandedOff { code, .. } => {
            tracing::info!(%session, reason = code.name(), "session left to the next relay");
            code
        }
    }
}
