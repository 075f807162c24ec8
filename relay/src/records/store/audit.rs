//! The audit: what administrators did.

/// What an administrator may do that is put into the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// A live session was ended.
    EndSession,
    /// The agent of a live session was to say something.
    Say,
    /// The agent of a live session was to know something.
    AddContext,
    /// A session was erased.
    DeleteSession,
    /// A user was erased.
    DeleteUser,
    /// A user or a login was put on the deny-list.
    Deny,
    /// A user or a login was taken off the deny-list.
    Allow,
    /// A credit was given.
    GiveCredit,
    /// What a user or an account may spend was set.
    SetBudget,
    /// What a user or an account may spend is what configuration and plan say again.
    ResetBudget,
    /// What somebody else said was read.
    ReadTranscript,
    /// What somebody else said was listened to.
    ReadRecording,
    /// A live session was listened in to.
    Listen,
    /// A message to a webhook was sent once more.
    ReplayWebhook,
    /// An API key was made.
    MakeKey,
    /// An API key was revoked.
    RevokeKey,
}

/// Something that an administrator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What the row is known by.
    pub id: String,
    /// When it was done, by the database's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// The administrator. Empty once that user is erased.
    pub by: String,
    /// What was done: [`DeedKind::name`], or a word of a newer version.
    pub what: String,
    /// The user to whom it was done. `None` if it was done to none, or to one who is erased.
    pub user_sub: Option<String>,
    /// The session, the login, the key of the credit, the delivery, the name of the API key, or the account and the new cap. Empty where the
    /// user is all there is to name.
    pub subject: String,
    /// Why, as the administrator said. Empty if nobody asked, or once the user is erased.
    pub reason: String,
}

/// Which deeds to list: those for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeedFilter {
    /// Deeds of this administrator.
    pub by: Option<String>,
    /// Deeds of this kind.
    pub what: Option<DeedKind>,
    /// What was done to this user.
    pub user_sub: Option<String>,
    /// What was done at this time or later, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// What was done before this time, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

impl DeedKind {
    /// The word in tables and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeedKind::EndSession => "end_session",
            DeedKind::Say => "say",
            DeedKind::AddContext => "add_context",
            DeedKind::DeleteSession => "delete_session",
            DeedKind::DeleteUser => "delete_user",
            DeedKind::Deny => "deny",
            DeedKind::Allow => "allow",
            DeedKind::GiveCredit => "give_credit",
            DeedKind::SetBudget => "set_budget",
            DeedKind::ResetBudget => "reset_budget",
            DeedKind::ReadTranscript => "read_transcript",
            DeedKind::ReadRecording => "read_recording",
            DeedKind::Listen => "listen",
            DeedKind::ReplayWebhook => "replay_webhook",
            DeedKind::MakeKey => "make_key",
            DeedKind::RevokeKey => "revoke_key",
        }
    }
}
