//! The id of a request: it stands in the head of the answer, in the body of a problem, and in the lines of the log that are written while the
//! request is answered.
//!
//! The layers of `tower-http` are not used: they keep whatever id came, reach neither the body of a problem nor the answer to a head that is
//! refused, and put no id into the log.

use std::convert::Infallible;

use axum::http::{HeaderMap, HeaderValue, Response};
use tracing::Instrument;

/// The header with the id, of requests and of answers.
pub(super) const HEADER: &str = "x-request-id";
/// The longest id that is kept, in characters.
const MAX_CHARS: usize = 64;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(String);

impl RequestId {
    /// The id that came with a request if it is a good one, such as a proxy gives; otherwise a new one.
    pub(super) fn of(headers: &HeaderMap) -> RequestId {
        let mut given = headers.get_all(HEADER).iter();
        let given = match (given.next(), given.next()) {
            (Some(id), None) => id.to_str().ok().filter(|id| is_good(id)),
            _ => None,
        };
        RequestId(given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
    }

    /// Answers the request under this id.
    pub(super) async fn answer<B>(
        self,
        answer: impl Future<Output = Result<Response<B>, Infallible>>,
    ) -> Result<Response<B>, Infallible> {
        // Whatever level of lines is wanted, they have the id.
        let span = tracing::error_span!("request", id = %self.0);
        let value = HeaderValue::from_str(&self.0).expect("letters, digits and three signs");
        let mut response = CURRENT.scope(self, answer).instrument(span).await?;
        response.headers_mut().insert(HEADER, value);
        Ok(response)
    }
}

/// The id of the request that is being answered, if one is.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(|id| id.0.clone()).ok()
}

/// The same work under the id of the request that is being answered, for a task of its own.
pub(super) fn carried<W: Future>(work: W) -> impl Future<Output = W::Output> {
    let id = CURRENT.try_with(Clone::clone).ok();
    async move {
        match id {
            Some(id) => CURRENT.scope(id, work).await,
            None => work.await,
        }
    }
}

fn is_good(id: &str) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    fn given(ids: &[&str]) -> RequestId {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(HEADER, HeaderValue::from_bytes(id.as_bytes()).expect("a value"));
        }
        RequestId::of(&headers)
    }

    #[test]
    fn a_good_id_is_kept_and_every_other_is_replaced() {
        let longest = "a".repeat(MAX_CHARS);
        for id in ["a", "4bf92f35-77b3.4da6_A", &longest] {
            assert_eq!(given(&[id]), RequestId(id.to_owned()));
        }
        let too_long = "a".repeat(MAX_CHARS + 1);
        let bad: [&[&str]; 8] = [&[], &[""], &["a b"], &["a;b"], &["é"], &["a/b"], &[&too_long], &["a", "a"]];
        for ids in bad {
            let RequestId(id) = given(ids);
            assert!(is_good(&id) && !ids.contains(&id.as_str()), "{ids:?}: {id}");
            assert_ne!(given(ids), RequestId(id), "each has one of its own");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_logged_of_a_request_has_its_id_and_nothing_else_has() {
        let written = Written::default();
        let out = written.clone();
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).json().flatten_event(true);
        let subscriber = lines.with_writer(move || out.clone()).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let answered = given(&["from-outside"])
            .answer(async {
                tracing::info!("while it is answered");
                Ok(Response::new(current()))
            })
            .await;
        tracing::info!("afterwards");
        drop(logging);
        let Ok(response) = answered;
        assert_eq!(response.headers()[HEADER], "from-outside");
        assert_eq!(response.into_body().as_deref(), Some("from-outside"));
        assert_eq!(current(), None);
        let log = String::from_utf8(written.0.lock().expect("one thread").clone()).expect("text");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(lines[0].contains(r#""id":"from-outside""#), "{log}");
        assert!(!lines[1].contains("from-outside"), "{log}");
    }
}
