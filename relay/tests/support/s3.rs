//! As much of S3 as recordings need: put, in parts or at once, get with ranges, head, delete.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;

/// The key that signs requests.
pub(crate) const ACCESS_KEY: &str = "AKIAEXAMPLE";

/// A server with one bucket, `calls`.
pub(crate) struct Bucket {
    address: SocketAddr,
    state: Mutex<Contents>,
}

/// What is in it.
#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Vec<u8>>,
    /// Parts by upload and number.
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Uploads in parts that were completed.
    completed: usize,
    /// Nobody gets in.
    closed: bool,
}

impl Bucket {
    pub(crate) async fn start() -> Arc<Bucket> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let bucket = Arc::new(Bucket { address, state: Mutex::default() });
        let routes = Router::new()
            .fallback(any(answer))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&bucket));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        bucket
    }

    /// The variables that lead to it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "an example".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The object of a key.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().objects.get(key).cloned()
    }

    /// How many uploads in parts were completed, and how many are open.
    pub(crate) fn uploads(&self) -> (usize, usize) {
        let state = self.lock();
        (state.completed, state.uploads.len())
    }

    /// Lets nobody in any more, or everybody again.
    pub(crate) fn close(&self, closed: bool) {
        self.lock().closed = closed;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().expect("no panic")
    }
}

async fn answer(
    State(bucket): State<Arc<Bucket>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let signed =
        text(header::AUTHORIZATION).starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/"));
    let mut state = bucket.lock();
    if state.closed || !signed {
        return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into_response();
    }
    let Some(key) = uri.path().strip_prefix("/calls/").map(str::to_owned) else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>").into_response();
    };
    let query: BTreeMap<&str, &str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let upload = query.get("uploadId").map(|id| (*id).to_owned());
    match (method, upload) {
        (Method::POST, None) if query.contains_key("uploads") => {
            let id = format!("upload{}", state.uploads.len() + state.completed);
            state.uploads.insert(id.clone(), BTreeMap::new());
            format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            )
            .into_response()
        }
        (Method::PUT, Some(id)) => {
            let number =
                query.get("partNumber").and_then(|number| number.parse().ok()).expect("a part's number");
            state.uploads.get_mut(&id).expect("an open upload").insert(number, body.to_vec());
            [(header::ETAG, format!("\"part-{number}\""))].into_response()
        }
        (Method::POST, Some(id)) => {
            let parts = state.uploads.remove(&id).expect("an open upload");
            let last = parts.len();
            assert!(
                parts.values().take(last - 1).all(|part| part.len() >= 5 << 20),
                "S3 takes no smaller parts"
            );
            state.objects.insert(key, parts.into_values().flatten().collect());
            state.completed += 1;
            "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>"
                .into_response()
        }
        (Method::DELETE, Some(id)) => {
            state.uploads.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::PUT, None) => {
            state.objects.insert(key, body.to_vec());
            [(header::ETAG, "\"whole\"")].into_response()
        }
        (Method::DELETE, None) => {
            state.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        (_, _) => match state.objects.get(&key) {
            Some(object) => read(object, text(header::RANGE)),
            None => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
        },
    }
}

fn read(object: &[u8], range: &str) -> Response {
    let common = [(header::ETAG, "\"whole\""), (header::LAST_MODIFIED, "Sun, 22 Nov 2026 12:00:00 GMT")];
    let range = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((from, to)) = range else { return (common, object.to_vec()).into_response() };
    let from: usize = from.parse().expect("a number");
    let to = to.parse::<usize>().map_or(object.len(), |last| (last + 1).min(object.len()));
    let content_range = format!("bytes {from}-{}/{}", to - 1, object.len());
    (StatusCode::PARTIAL_CONTENT, common, [(header::CONTENT_RANGE, content_range)], object[from..to].to_vec())
        .into_response()
}
