//! API keys, as they are stored: never the keys themselves.

/// How many keys may be good at the same time.
pub const API_KEYS_MAX: u32 = 100;

/// A key that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    /// What it is known by. Making one of the same id and name again, before it was used, puts the new hash in the place of the one before.
    pub id: String,
    /// What people know it by.
    pub name: String,
    /// The SHA-256 of the key.
    pub hash: String,
    /// Whether it has the administrators' role.
    pub is_admin: bool,
    /// Whether it has the role of those who may read what others said.
    pub is_reader: bool,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// The administrator who makes it.
    pub by: String,
}

/// What comes of making a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeKey {
    /// There it is.
    Yes(ApiKey),
    /// Another key has the name, or had it.
    NameTaken,
    /// There are as many as may be ([`API_KEYS_MAX`]).
    TooMany,
    /// Whoever makes it is denied by now.
    Denied,
}

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyFilter {
    /// Keys that this administrator has made.
    pub created_by: Option<String>,
}

/// A key, without what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is known by.
    pub id: String,
    /// What people know it by.
    pub name: String,
    /// Whether it has the administrators' role.
    pub is_admin: bool,
    /// Whether it has the role of those who may read what others said.
    pub is_reader: bool,
    /// The administrator who made it. Empty once that user is erased.
    pub created_by: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// When it was last used, to the hour, in milliseconds since 1970.
    pub last_used_at_ms: Option<i64>,
    /// When it was revoked, in milliseconds since 1970.
    pub revoked_at_ms: Option<i64>,
}
