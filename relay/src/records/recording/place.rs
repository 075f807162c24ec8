//! The configured folder or bucket.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use reqwest::Url;

use super::RecordingError;
use crate::config::RecordingPlace;
use crate::operations::outbound;
use crate::records::store::create_data_dir;

/// For one request, which takes a part of a file.
const REQUEST_TIMEOUT: &str = "60 seconds";
/// A request is repeated for this long; the file stays where it is and is carried later if that does not help.
const RETRY_FOR: Duration = Duration::from_secs(60);
const RETRIES: usize = 4;

pub(super) fn open(
    place: &RecordingPlace,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, RecordingError> {
    match place {
        RecordingPlace::Folder(dir) => {
            let wrong = |reason: String| RecordingError::Place { key: "dir", reason };
            create_data_dir(dir).map_err(|error| wrong(format!("{}: {error}", dir.display())))?;
            let folder = LocalFileSystem::new_with_prefix(dir).map_err(|error| wrong(error.to_string()))?;
            Ok(Arc::new(folder.with_automatic_cleanup(true)))
        }
        RecordingPlace::Bucket(url) => bucket(url, environment),
    }
}

fn bucket(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, RecordingError> {
    outbound::provide_cryptography();
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let mut builder = AmazonS3Builder::new().with_config(timeout, REQUEST_TIMEOUT);
    for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let store = builder
        .with_bucket_name(url.host_str().unwrap_or_default())
        // One by one, as every S3-compatible store can.
        .with_disable_bulk_delete(true)
        .with_retry(retry)
        .build()
        .map_err(|error| RecordingError::Place { key: "url", reason: error.to_string() })?;
    Ok(Arc::new(PrefixStore::new(store, url.path().trim_matches('/'))))
}
