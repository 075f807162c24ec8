//! TLS at the relay's own address: its certificate, which is read again when its files change, and the handshake of a connection.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{TlsFiles, unreadable};
use crate::operations::outbound;

/// The protocol that is spoken inside, as a client asks for it.
const HTTP1: &[u8] = b"http/1.1";

/// What the relay speaks TLS with.
pub struct Tls {
    files: TlsFiles,
    /// What new connections are served with.
    serving: RwLock<Arc<ServerConfig>>,
    /// A hash of what the files held when they were last read, so that what has not changed is neither taken nor complained of again.
    last: Mutex<Vec<u8>>,
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {path:?}: {why}")]
pub struct TlsError {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What the two files hold.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// When one of the files cannot be read or is no PEM, or the key is not the certificate's.
    pub fn read(files: &TlsFiles) -> Result<Tls, TlsError> {
        let pair = Pair::read(files)?;
        let serving = RwLock::new(pair.configure(files)?);
        let last = Mutex::new(pair.hash());
        Ok(Tls { files: files.clone(), serving, last })
    }

    /// Reads the files again. A pair that can be used serves every connection that comes from then on; of any other the log says what is wrong
    /// with it, and the pair before it goes on. Files that have not changed are looked at no further, unless somebody `asked` for it.
    pub fn renew(&self, asked: bool) {
        let pair = Pair::read(&self.files);
        let hash = match &pair {
            Ok(pair) => pair.hash(),
            Err(error) => Sha256::digest(error.to_string()).to_vec(),
        };
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == hash && !asked {
                return;
            }
            *last = hash;
        }
        match pair.and_then(|pair| pair.configure(&self.files)) {
            Ok(serving) => {
                *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving;
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be used: the one before it goes on");
            }
        }
    }

    /// Speaks the handshake. How long it may take is for whoever waits for it.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let serving = Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(serving).accept(stream).await
    }
}

/// The certificate is not shown, nor anything about its key.
impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl TlsError {
    fn of_certificate(files: &TlsFiles, why: String) -> TlsError {
        TlsError { key: "network.tls_certificate", path: files.certificate.clone(), why }
    }

    fn of_key(files: &TlsFiles, why: String) -> TlsError {
        TlsError { key: "network.tls_key", path: files.key.clone(), why }
    }
}

impl Pair {
    fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|error| unreadable(path, &error));
        Ok(Pair {
            certificate: read(files.certificate.as_path())
                .map_err(|why| TlsError::of_certificate(files, why))?,
            key: read(files.key.as_path()).map_err(|why| TlsError::of_key(files, why))?,
        })
    }

    fn hash(&self) -> Vec<u8> {
        let certificate = Sha256::digest(&self.certificate);
        Sha256::new().chain_update(certificate).chain_update(&self.key).finalize().to_vec()
    }

    fn configure(&self, files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = match chain {
            Ok(chain) if chain.is_empty() => {
                return Err(TlsError::of_certificate(files, "there is no certificate in it".to_owned()));
            }
            Ok(chain) => chain,
            Err(error) => return Err(TlsError::of_certificate(files, error.to_string())),
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::of_key(files, error.to_string()))?;
        outbound::provide_cryptography();
        let serving = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let mut serving = serving.map_err(|error| {
            let certificate = files.certificate.display();
            TlsError::of_key(
                files,
                format!("it cannot be used with the certificate in {certificate}: {error}"),
            )
        })?;
        serving.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Arc::new(serving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the certificate of one name and the key of another where they are read.
    fn put(files: &TlsFiles, certificate: &str, key: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
        fs::copy(folder.join(format!("{certificate}.pem")), &files.certificate).expect("copied");
        fs::copy(folder.join(format!("{key}.key.pem")), &files.key).expect("copied");
    }

    #[test]
    fn a_pair_serves_from_when_it_is_whole_and_what_is_faulty_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        let [certificate, key] = files;
        let files = TlsFiles { certificate, key };
        assert_eq!(Tls::read(&files).expect_err("nothing is there").key, "network.tls_certificate");
        put(&files, "first", "second");
        assert_eq!(Tls::read(&files).expect_err("they do not fit").key, "network.tls_key");
        put(&files, "first", "first");
        let tls = Tls::read(&files).expect("a pair");
        let serving = || Arc::clone(&tls.serving.read().expect("no panic"));
        let first = serving();
        tls.renew(false);
        assert!(Arc::ptr_eq(&first, &serving()), "nothing has changed");

        put(&files, "second", "first");
        tls.renew(false);
        assert!(Arc::ptr_eq(&first, &serving()), "half of it is there");
        put(&files, "second", "second");
        tls.renew(false);
        let second = serving();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::remove_file(&files.key).expect("removed");
        tls.renew(true);
        fs::write(&files.certificate, "no certificate").expect("written");
        put(&TlsFiles { certificate: folder.path().join("unused.pem"), ..files.clone() }, "second", "second");
        tls.renew(false);
        assert!(Arc::ptr_eq(&second, &serving()));
        assert_eq!(Tls::read(&files).expect_err("no PEM").key, "network.tls_certificate");
    }
}
