//! Streamed HTTP: one `POST`, whose answer is read as it comes.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use tokio::time::{sleep_until, timeout};

use super::request::Carried;
use super::{Input, Target};

/// Headers in which providers name a request.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "dg-request-id"];

/// After its end an answer is read on for so long, and so far, until its connection can be used again.
const REST_WITHIN: Duration = Duration::from_secs(2);
const REST_MAX_BYTES: usize = 64 * 1024;

pub(super) async fn carry(mut carried: Carried, client: &Client, target: Target) {
    let mut request = client.post(target.url).body(target.body);
    for (name, value) in target.headers {
        request = request.header(name, value);
    }
    // Polled in place: nothing else waits for what it may hold.
    let mut response = {
        let mut sending = std::pin::pin!(request.send());
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => match sent {
                    Ok(response) => break response,
                    Err(error) => return lost(&mut carried, &error).await,
                },
                () = sleep_until(carried.due()) => {
                    if !carried.handle(Input::Timeout).await {
                        return;
                    }
                }
            }
        }
    };
    if !head(&mut carried, &response).await {
        return;
    }
    loop {
        let goes_on = tokio::select! {
            biased;
            chunk = response.chunk() => match chunk {
                Ok(Some(bytes)) => carried.handle(Input::Bytes(&bytes)).await,
                Ok(None) => {
                    carried.handle(Input::End).await;
                    return;
                }
                Err(error) => return lost(&mut carried, &error).await,
            },
            () = sleep_until(carried.due()) => carried.handle(Input::Timeout).await,
        };
        if !goes_on {
            break;
        }
    }
    if carried.has_finished() {
        let _ = timeout(REST_WITHIN, read_rest(response)).await;
    }
}

/// Reads what comes behind the last word of an answer: a connection is used again only when it has nothing more to say.
async fn read_rest(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(bytes)) = response.chunk().await {
        read += bytes.len();
        if read > REST_MAX_BYTES {
            return;
        }
    }
}

async fn head(carried: &mut Carried, response: &Response) -> bool {
    let headers = response.headers();
    let head = Input::Head {
        status: response.status().as_u16(),
        retry_after: text(headers, RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok()),
        request_id: REQUEST_IDS.iter().find_map(|name| text(headers, name)),
        media_type: text(headers, CONTENT_TYPE.as_str()).unwrap_or_default(),
    };
    carried.handle(head).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The cause is in the innermost error: the outer ones only say that something failed, and where.
async fn lost(carried: &mut Carried, error: &reqwest::Error) {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    carried.handle(Input::Lost(&cause.to_string())).await;
}
