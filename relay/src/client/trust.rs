//! Whose certificates a call trusts, where they are not those that everybody trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::Connector;

use crate::config::unreadable;
use crate::operations::outbound;

/// The certificates of a file, and no others.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// Why nothing can be trusted by a file.
#[derive(Debug, thiserror::Error)]
#[error("{path:?}: {why}")]
pub struct TrustError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Trust {
    /// Reads a PEM file with the certificates that others are signed with, or are themselves.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate in it.
    pub fn read(path: &Path) -> Result<Trust, TrustError> {
        let wrong = |why: String| TrustError { path: path.to_owned(), why };
        let pem = fs::read(path).map_err(|error| wrong(unreadable(path, &error)))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        outbound::provide_cryptography();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }

    /// What opens a connection with it.
    pub(super) fn connector(&self) -> Connector {
        Connector::Rustls(Arc::clone(&self.0))
    }
}
