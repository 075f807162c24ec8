//! Preflights: whether a call would be taken, and what its connection carries. Nothing is begun, counted or written, by the same checks as a
//! call's.

use std::net::IpAddr;
use std::sync::Arc;

use protocol::relay::{Attachment, Preflight, Refusal};
use protocol::{CloseCode, Hello};
use tokio::time::timeout_at;

use super::connection::{Connection, Event};
use super::opening::{may_begin, new_session, open};
use super::wire::{Incoming, Outgoing, Wire};
use super::{admit, greet, turn_away};
use crate::App;
use crate::admission::throttle::Asking;
use crate::operations::telemetry;

/// Serves the connection of a preflight until it ends.
pub(crate) async fn serve(wire: Box<dyn Wire>, app: Arc<App>, address: IpAddr) {
    let preflight = Preflight::new(app.live.now());
    let mut connection = Connection::new(wire);
    let looked = match greet(&mut connection, &app).await {
        Ok(hello) => look(&app, &hello, address).await,
        Err(None) => return,
        Err(Some(refusal)) => Err(refusal),
    };
    match looked {
        Ok(()) => {
            telemetry::preflight(telemetry::PREFLIGHT_OK);
            connection.greeted();
            if let Some(code) = carry(&mut connection, &app, preflight).await {
                connection.close(code).await;
            }
        }
        Err(refusal) => {
            telemetry::preflight(&refusal.error.code);
            turn_away(connection, refusal).await;
        }
    }
}

/// Looks whether a new session would begin with this `hello`. One that it asks to go on with is not looked for.
async fn look(app: &App, hello: &Hello, address: IpAddr) -> Result<(), Refusal> {
    let identity = admit(app, hello, address).await?;
    let per_minute = app.config.preflights_per_minute;
    let may = app.admission.throttle.preflight_of(&identity.sub, per_minute);
    may.map_err(|excess| excess.to_refusal())?;
    let (parts, limits) = may_begin(app, Asking::Look, hello, &identity, address)?;
    let attachment = Attachment::New;
    let session = new_session(app, hello, &identity, &parts, attachment, "");
    open(app, Asking::Look, session, &parts, &limits, address, attachment).await.map(drop)
}

/// Answers what comes, until it is over. `None` means that the peer is gone.
async fn carry(connection: &mut Connection, app: &App, mut preflight: Preflight) -> Option<CloseCode> {
    let deadline = app.live.instant(preflight.poll_timeout());
    loop {
        let event = tokio::select! {
            biased;
            () = app.live.shutdown.cancelled() => return Some(CloseCode::GoingAway),
            event = timeout_at(deadline, connection.event()) => event,
        };
        let answer = match event {
            Err(_) => return Some(CloseCode::Normal),
            Ok(Event::Flushed) => continue,
            Ok(Event::Incoming(Incoming::Gone(violation))) => return violation,
            Ok(Event::Incoming(Incoming::Text(text))) => preflight.handle_text(&text).map(Outgoing::Text),
            Ok(Event::Incoming(Incoming::Binary(payload))) => {
                preflight.handle_binary(&payload).map(|echo| Outgoing::Binary(echo.into()))
            }
            Ok(Event::Incoming(Incoming::Control(bytes))) => match preflight.handle_control(bytes) {
                Ok(()) => continue,
                Err(code) => return Some(code),
            },
        };
        match answer {
            Ok(message) => connection.write(message).ok()?,
            Err(code) => return Some(code),
        }
    }
}
