//! The driver of answers over HTTP: sends the pieces of a body as the pace has them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::Value;
use tokio::time::sleep;

use crate::log::{Ended, Entry};
use crate::pace::{Pace, Piece, Step};
use crate::server::Opened;

/// The media type of server-sent events.
pub(crate) const EVENTS: &str = "text/event-stream; charset=utf-8";

impl Piece for Bytes {
    fn halves(&self) -> Vec<Self> {
        let long = self.iter().position(|byte| *byte >= 0xc0).map(|begin| begin + 1);
        let at = long.unwrap_or(self.len() / 4 * 2 + 1).min(self.len());
        vec![self.slice(..at), self.slice(at..)]
    }

    fn garbage() -> Self {
        Bytes::from_static(b"data: {\"garbage\": \xff]\n\n")
    }
}

/// An answer that comes piece by piece. `error` tells the provider's error of a name as a piece.
pub(crate) fn streamed(
    opened: Opened,
    media_type: &str,
    pieces: impl IntoIterator<Item = Bytes>,
    error: impl Fn(&str) -> Bytes,
) -> Response {
    let Opened { act, index, entry, .. } = opened;
    let mut pace = Pace::new(&act, index);
    let mut steps: VecDeque<Step<Bytes>> = VecDeque::new();
    for piece in pieces {
        steps.extend(pace.piece(piece, &error));
    }
    steps.extend(pace.end());
    let mut response = Body::from_stream(stream::unfold((steps, entry), next)).into_response();
    add_header(&mut response, header::CONTENT_TYPE, media_type);
    response
}

/// An answer that comes whole, after the delay before a first piece. Where something goes wrong with it, it comes in two halves, so that it may
/// break off between them. `error` tells the provider's error of a name as a body.
pub(crate) async fn whole(opened: Opened, body: Value, error: impl Fn(&str) -> Bytes) -> Response {
    if !opened.act.faults.is_empty() {
        return streamed(opened, "application/json", Bytes::from(body.to_string()).halves(), error);
    }
    let Opened { act, index, entry, .. } = opened;
    let first_ms = act.pace.first_ms.ms(index);
    if first_ms > 0 {
        sleep(Duration::from_millis(first_ms)).await;
    }
    entry.sent(body.to_string().len());
    entry.end(Ended::Done);
    Json(body).into_response()
}

pub(crate) fn add_header(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

type Rest = (VecDeque<Step<Bytes>>, Entry);

async fn next((mut steps, entry): Rest) -> Option<(io::Result<Bytes>, Rest)> {
    loop {
        // What was handed over goes out before the next piece comes: the other side may see them apart.
        tokio::task::yield_now().await;
        match steps.pop_front() {
            Some(Step::Wait(ms)) => sleep(Duration::from_millis(ms)).await,
            Some(Step::Send(piece)) => {
                entry.sent(piece.len());
                // Whoever has the last piece may hang up before it is looked what comes behind it.
                match steps.front() {
                    Some(Step::Close(..) | Step::Drop) => entry.end(Ended::Closed),
                    None => entry.end(Ended::Done),
                    Some(_) => {}
                }
                return Some((Ok(piece), (steps, entry)));
            }
            Some(Step::Stall) => std::future::pending().await,
            Some(Step::Drop) => {
                entry.end(Ended::Closed);
                return Some((Err(io::ErrorKind::ConnectionReset.into()), (steps, entry)));
            }
            Some(Step::Close(..)) => {
                entry.end(Ended::Closed);
                return None;
            }
            None => {
                entry.end(Ended::Done);
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Uri};

    use super::*;
    use crate::log::Log;
    use crate::provider::Key;
    use crate::script::Wire;

    #[tokio::test]
    async fn whoever_hangs_up_has_cancelled_what_has_still_to_come_and_nothing_else() {
        let piece = || Step::Send(Bytes::from_static(b"piece"));
        for (behind, ended) in [
            (None, "done"),
            (Some(Step::Close(1011, String::new())), "closed"),
            (Some(Step::Drop), "closed"),
            (Some(piece()), "cancelled"),
        ] {
            let log = Log::new();
            let entry = log.open(Wire::DeepgramSpeak, &Uri::default(), &HeaderMap::new(), Key::Right);
            let steps = [Some(piece()), behind].into_iter().flatten().collect();
            drop(next((steps, entry)).await);
            assert_eq!(log.told()["requests"][0]["ended"], ended);
        }
    }

    #[test]
    fn a_piece_is_cut_within_its_first_long_character_or_else_within_a_sample() {
        let halves = Bytes::from_static("a€b".as_bytes()).halves();
        assert_eq!(halves, [&b"a\xe2"[..], &b"\x82\xacb"[..]]);
        assert_eq!(Bytes::from_static(&[0; 8]).halves()[0].len(), 5);
    }
}
