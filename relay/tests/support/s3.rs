//! Storage that speaks S3: somebody else's server, which checks every signature, with a folder behind it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The key that signs requests.
pub(crate) const ACCESS_KEY: &str = "AKIAEXAMPLE";
const SECRET_KEY: &str = "an example";
/// What S3 takes as a part that is not the last: the server in use would take less.
const PART_MIN_BYTES: u64 = 5 << 20;

/// A server with one bucket, `calls`.
pub(crate) struct Bucket {
    address: SocketAddr,
    folder: TempDir,
    service: S3Service,
    seen: Mutex<Seen>,
}

/// What came by.
#[derive(Default)]
struct Seen {
    /// Lengths of parts by upload and number.
    parts: BTreeMap<String, BTreeMap<u32, u64>>,
    /// Uploads in parts that were completed.
    completed: usize,
    /// Nobody gets in.
    closed: bool,
}

impl Bucket {
    pub(crate) async fn start() -> Arc<Bucket> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("calls")).expect("it is empty");
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a folder");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let bucket = Arc::new(Bucket { address, folder, service: service.build(), seen: Mutex::default() });
        let serving = Arc::clone(&bucket);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bucket = Arc::clone(&serving);
                let service = service_fn(move |request| Arc::clone(&bucket).answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        bucket
    }

    /// The variables that lead to it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The object of a key.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join("calls").join(key)).ok()
    }

    /// How many uploads in parts were completed, and how many are open.
    pub(crate) fn uploads(&self) -> (usize, usize) {
        let seen = self.seen();
        (seen.completed, seen.parts.len())
    }

    /// Lets nobody in any more, or everybody again.
    pub(crate) fn close(&self, closed: bool) {
        self.seen().closed = closed;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    async fn answer(
        self: Arc<Bucket>,
        request: Request<Incoming>,
    ) -> Result<Response<s3s::Body>, Infallible> {
        let refusal =
            |status: StatusCode| Response::builder().status(status).body(s3s::Body::empty()).expect("good");
        if self.seen().closed {
            return Ok(refusal(StatusCode::FORBIDDEN));
        }
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let upload = value("uploadId").map(str::to_owned);
        let part = value("partNumber").and_then(|number| number.parse().ok());
        let length = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let method = request.method().clone();
        let Ok(answer) = Service::call(&self.service, request).await else {
            return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR));
        };
        if let Some(upload) = upload.filter(|_| answer.status().is_success()) {
            let mut seen = self.seen();
            if let Some(part) = part {
                seen.parts.entry(upload).or_default().insert(part, length.expect("a length"));
            } else {
                let parts = seen.parts.remove(&upload).unwrap_or_default();
                let whole = parts.values().rev().skip(1).all(|length| *length >= PART_MIN_BYTES);
                assert!(whole, "S3 takes no smaller parts: {parts:?}");
                seen.completed += usize::from(method == Method::POST);
            }
        }
        Ok(answer)
    }
}
