//! Tokens for development: a secret that the relay makes by itself, and tokens that it signs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::claims::Reader;
use super::{EVERY_AGENT, Refused};
use crate::config::{AuthConfig, ClaimPaths, Secret};

/// The file of the development secret in the data folder.
const SECRET_FILE: &str = "dev-secret";

/// Why no token can be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The relay has only public keys, which cannot sign.
    #[error(
        "this relay checks tokens with public keys (auth.supabase_url, auth.oidc_issuer, auth.jwks_url, auth.public_keys) \
         and cannot sign any; get one from that issuer, or configure auth.hs256_secret"
    )]
    NoSecret,
    /// A relay with this configuration would refuse the token.
    #[error("the relay would refuse this token: {0}")]
    Refused(Refused),
    /// The library could not sign the token.
    #[error("signing failed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// What a token is to say about its user, in the claims that the configuration names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bearer<'a> {
    /// The user.
    pub sub: &'a str,
    /// The account that pays. `None` is the default account.
    pub account: Option<&'a str>,
    /// The plan that the user's limits come from.
    pub plan: Option<&'a str>,
    /// The user's roles.
    pub roles: &'a [String],
    /// The agents that the user may speak with, [`EVERY_AGENT`] for all of them. With none, the token names none: that is the default one.
    pub agents: &'a [String],
}

/// Signs a token for `sub` that is good for `ttl` from `now` (seconds since 1970), with the configured secret. It is for development: its user
/// may speak with every agent.
///
/// # Errors
/// When no secret is configured.
pub fn mint(config: &AuthConfig, sub: &str, now: u64, ttl: Duration) -> Result<String, MintError> {
    let agents = [EVERY_AGENT.to_owned()];
    mint_for(config, Bearer { sub, agents: &agents, ..Bearer::default() }, now, ttl)
}

/// Signs a token as [`mint`] does, which says what its bearer may do.
///
/// # Errors
/// When no secret is configured, or the relay would refuse what the token says.
pub fn mint_for(
    config: &AuthConfig,
    bearer: Bearer<'_>,
    now: u64,
    ttl: Duration,
) -> Result<String, MintError> {
    let secret = config.hs256_secret.as_ref().ok_or(MintError::NoSecret)?;
    let mut claims = json!({
        "iss": config.issuers.first(),
        "sub": bearer.sub,
        "iat": now,
        "exp": now.saturating_add(ttl.as_secs()),
    });
    config.claims.audience.put(&mut claims, config.audiences.first().map(String::as_str).into());
    let ClaimPaths { account, plan, role, .. } = &config.claims;
    for (path, value) in [(account, bearer.account), (plan, bearer.plan)] {
        if let Some(value) = value {
            path.put(&mut claims, value.into());
        }
    }
    match bearer.roles {
        [] => {}
        [one] => role.put(&mut claims, one.as_str().into()),
        several => role.put(&mut claims, several.into()),
    }
    if !bearer.agents.is_empty() {
        config.claims.agents.put(&mut claims, bearer.agents.into());
    }
    Reader::new(config).identity(&claims).map_err(MintError::Refused)?;
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &key)?)
}

/// The development secret of a data folder. It is made on first use, in a file that only its owner can read.
///
/// # Errors
/// When the folder cannot be written, or the file does not hold a secret.
pub fn development_secret(data_dir: &Path) -> io::Result<Secret> {
    let path = data_dir.join(SECRET_FILE);
    match read_secret(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    crate::records::store::create_data_dir(data_dir)?;
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    // The file is written under another name and then linked into place, so that another process that starts now sees all of it or nothing.
    let draft = data_dir.join(format!("{SECRET_FILE}.{}", uuid::Uuid::now_v7()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(&draft)?, "{}", URL_SAFE_NO_PAD.encode(random))?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_secret(&path),
    }
}

fn read_secret(path: &Path) -> io::Result<Secret> {
    let secret = fs::read_to_string(path)?.trim().to_owned();
    if secret.len() < 32 {
        let message = format!("{} holds no secret; delete it to have a new one made", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_secret_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| development_secret(&data))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic").expect("a secret")).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(secrets[0].expose().len(), 43);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.join(SECRET_FILE)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_empty_secret_file_is_no_secret() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(SECRET_FILE), "\n").expect("written");
        let error = development_secret(dir.path()).expect_err("empty");
        assert!(error.to_string().contains("delete it"), "{error}");
        for (length, is_secret) in [(31, false), (32, true)] {
            fs::write(dir.path().join(SECRET_FILE), format!(" {}\n", "x".repeat(length))).expect("written");
            assert_eq!(development_secret(dir.path()).is_ok(), is_secret, "{length}");
        }
    }
}
