//! Close codes and error codes: the one source from which TypeScript and `docs/errors.md` are generated.

/// What a client does after a close code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// The call is over.
    Stop,
    /// Ask the application for a new token, then connect again; stop if the new token is refused as well.
    RefreshToken,
    /// Connect again after the backoff, not before the `retry_after_ms` that an `error` message named.
    Retry,
}

impl Reaction {
    /// The word for it in TypeScript and in the docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reaction::Stop => "stop",
            Reaction::RefreshToken => "refresh_token",
            Reaction::Retry => "retry",
        }
    }
}

/// A WebSocket close code with what it means and what a client does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseInfo {
    /// The number on the wire.
    pub code: u16,
    /// The name in TypeScript, in logs and in the session record.
    pub name: &'static str,
    /// What the client does.
    pub reaction: Reaction,
    /// What it means, for the docs.
    pub meaning: &'static str,
}

macro_rules! close_codes {
    ($($variant:ident = $code:literal, $name:literal, $reaction:ident, $meaning:literal;)*) => {
        /// Why a connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseCode { $(#[doc = $meaning] $variant,)* }

        impl CloseCode {
            /// Every close code, in ascending order.
            pub const ALL: &[CloseCode] = &[$(CloseCode::$variant,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(CloseCode::$variant => $code,)* }
            }

            /// The name in TypeScript, in logs and in the session record.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(CloseCode::$variant => $name,)* }
            }

            /// What a client does after it.
            #[must_use]
            pub const fn reaction(self) -> Reaction {
                match self { $(CloseCode::$variant => Reaction::$reaction,)* }
            }

            /// Everything about it, for the docs and for TypeScript.
            #[must_use]
            pub const fn info(self) -> CloseInfo {
                match self {
                    $(CloseCode::$variant => CloseInfo {
                        code: $code, name: $name, reaction: Reaction::$reaction, meaning: $meaning,
                    },)*
                }
            }
        }
    };
}

close_codes! {
    Normal = 1000, "normal", Stop, "The call ended as one side wished.";
    GoingAway = 1001, "going_away", Retry, "The relay shuts down (a deploy, say), or the page goes away: the call goes on with the relay that comes next.";
    Violation = 1002, "violation", Stop, "The client closed with a code that RFC 6455 does not allow in a close frame. Any other violation of that RFC is answered with 4400.";
    Abnormal = 1006, "abnormal", Retry, "The connection broke without a close frame. Never sent; every other unknown code is read as this one.";
    InvalidText = 1007, "invalid_text", Stop, "A text message was not valid UTF-8.";
    TooBig = 1009, "too_big", Stop, "A message was larger than the relay accepts.";
    Internal = 1011, "internal", Retry, "The relay failed; its log says why.";
    Restart = 1012, "restart", Retry, "What stands before the relay restarts. The relay itself says 1001.";
    TryLater = 1013, "try_later", Retry, "The relay takes no new calls now (its database is away, or it is full).";
    Protocol = 4400, "protocol", Stop, "The client broke the protocol: a bug in the client.";
    Unauthorized = 4401, "unauthorized", RefreshToken, "No token in time, or one that is not valid (any more).";
    Budget = 4402, "budget", Stop, "A budget is spent.";
    Forbidden = 4403, "forbidden", Stop, "The token is valid, but may not do this; or pages of this origin may not use this relay.";
    NoRelay = 4404, "no_relay", Stop, "There is no relay at this address. Never sent: a client that could not open a socket learnt it from a plain HTTP request.";
    Idle = 4408, "idle", Stop, "Nothing was said or sent for longer than the idle limit.";
    Replaced = 4409, "replaced", Retry, "Another connection of the same session took over. Whoever still listens on this one was overtaken by an earlier attempt of its own.";
    TooLong = 4410, "too_long", Stop, "The session reached its longest duration.";
    EndedByOperator = 4411, "ended_by_operator", Stop, "An administrator of the relay ended the call, or erased it.";
    Limited = 4429, "limited", Retry, "A limit was exceeded; `retry_after_ms` says when to come back.";
}

impl CloseCode {
    /// Reads the number from the wire; unknown ones are [`CloseCode::Abnormal`].
    #[must_use]
    pub fn from_code(code: u16) -> CloseCode {
        CloseCode::ALL.iter().copied().find(|known| known.code() == code).unwrap_or(CloseCode::Abnormal)
    }

    /// Reads the name in `ended`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<CloseCode> {
        CloseCode::ALL.iter().copied().find(|known| known.name() == name)
    }
}

/// An error code of an `error` message or event, with what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The word on the wire and in `error.code`.
    pub name: &'static str,
    /// Whether the same thing may work later without a change.
    pub retryable: bool,
    /// What happened and what to do next, shown to a developer.
    pub message: &'static str,
}

macro_rules! error_codes {
    ($($variant:ident = $name:literal, $retryable:literal, $message:literal;)*) => {
        /// What went wrong, as a word that programs can compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $(#[doc = $message] $variant,)* }

        impl ErrorCode {
            /// Every error code.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// Word, retryable, message.
            #[must_use]
            pub const fn info(self) -> ErrorInfo {
                match self {
                    $(ErrorCode::$variant => ErrorInfo { name: $name, retryable: $retryable, message: $message },)*
                }
            }
        }
    };
}

error_codes! {
    Unauthorized = "unauthorized", false, "The relay did not accept the token. Mint a new one for this relay and check its issuer, audience and expiry.";
    Denied = "denied", false, "The token is good, but its user or its login may not use this relay. Its operator knows why.";
    TokenExpiring = "token_expiring", true, "The token expires soon. The SDK asks the `token` function for a new one.";
    TokenRefused = "token_refused", true, "The relay did not accept the fresh token. The one in use is good until it expires.";
    TokenUnavailable = "token_unavailable", true, "The `token` function failed or took longer than 10 s. Check the endpoint it calls.";
    Protocol = "protocol", false, "The client broke the protocol. Compare its version with the relay's.";
    ChunkTooSmall = "chunk_too_small", false, "An audio chunk was shorter than the relay accepts. Send 20 to 200 ms a chunk.";
    ChunkTooLarge = "chunk_too_large", false, "An audio chunk was longer than the relay accepts. Send 20 to 200 ms a chunk.";
    ChunkOddLength = "chunk_odd_length", false, "An audio chunk did not hold whole 16-bit samples.";
    ChunkCodec = "chunk_codec", false, "An audio chunk was not in the codec of the `hello` message.";
    ChunkPosition = "chunk_position", false, "An audio chunk did not begin where the one before it ended. Declare what is missing with a `gap` message.";
    AudioTooFast = "audio_too_fast", true, "Audio came faster than real time beyond what a resume needs. Wait `retry_after_ms`.";
    ControlRate = "control_rate", true, "More control messages a second than allowed. Wait `retry_after_ms`, then resume: nothing is lost.";
    TextTooLong = "text_too_long", false, "The text is longer than an agent takes: `limit` is what it may have, in characters.";
    MessagesFull = "messages_full", true, "Too much waits to be sent. Wait until the connection is back.";
    NotSupported = "not_supported", false, "The relay, its agent or this browser cannot do that. A newer relay may.";
    CallOver = "call_over", false, "The call is over: nothing more can be said in it.";
    SessionLimit = "session_limit", true, "The user has as many sessions at the same time as allowed. Close one, or wait `retry_after_ms`.";
    AccountSessionLimit = "account_session_limit", true, "The account has as many sessions at the same time as allowed. Close one, or wait `retry_after_ms`.";
    SessionRate = "session_rate", true, "The user began more sessions a minute than allowed. Wait `retry_after_ms`.";
    AddressRate = "address_rate", true, "More sessions a minute than allowed began from this network address. Wait `retry_after_ms`.";
    ResumeRate = "resume_rate", true, "The user resumed sessions more often than allowed. Wait `retry_after_ms`, then resume: nothing is lost.";
    PreflightRate = "preflight_rate", true, "More preflights than allowed, of this user or from this network address. Wait `retry_after_ms`.";
    AddressConnections = "address_connections", true, "Too many connections from this network address wait to be greeted. Wait `retry_after_ms`.";
    RelayFull = "relay_full", true, "The relay takes no more calls now. Wait `retry_after_ms`.";
    RelayStopping = "relay_stopping", true, "The relay stops. Wait `retry_after_ms`.";
    Budget = "budget", false, "The session's budget is spent, so the call ended. `limit` is the budget in nano-dollars.";
    UserBudget = "user_budget", false, "The user's budget of the day (UTC) is spent. `limit` is the budget in nano-dollars; `retry_after_ms` says when the next day begins.";
    AccountBudget = "account_budget", false, "The account's budget of the month (UTC) is spent. `limit` is the budget in nano-dollars; `retry_after_ms` says when the next month begins.";
    ConversationUnknown = "conversation_unknown", false, "There is no such conversation of this user. Leave `conversation` out to begin a new one.";
    AgentUnknown = "agent_unknown", false, "The relay has no agent of this name. Its operator knows which there are.";
    AgentForbidden = "agent_forbidden", false, "The user may not speak with this agent. Its operator knows who may.";
    AgentUnavailable = "agent_unavailable", true, "The agent cannot answer just now. Say it again in a moment; the relay's log has the cause.";
    TurnUnknown = "turn_unknown", false, "The relay does not know the turn any more, so it stays as it was understood.";
    VariableUnknown = "variable_unknown", false, "The agent lets no page set a variable of this name. Its operator can allow it.";
    MissingPrice = "missing_price", false, "The relay has no price for what this call would use. Its operator has to add one to the price table.";
    Idle = "idle", false, "Nothing was said for too long.";
    TooLong = "too_long", false, "The session reached its longest duration.";
    ResumeFailed = "resume_failed", false, "The relay no longer knows the session, so a new one began, with what had not been committed.";
    BufferFull = "buffer_full", true, "The connection has been away for longer than the replay buffer holds; the oldest audio is dropped.";
    PlayoutFull = "playout_full", false, "The relay sent more audio ahead than is played later; the newest was dropped.";
    LinkLost = "link_lost", true, "The connection to the relay was lost. The SDK connects again and sends what is missing.";
    GaveUp = "gave_up", false, "The relay could not be reached for longer than `giveUpAfterMs`. Check the URL and the network.";
    Unreachable = "unreachable", true, "Nothing answered at the relay's address. Check the network, `url`, and that `connect-src` of the page's policy lists the relay.";
    NoRelay = "no_relay", false, "There is no relay at this address. Check `url`: its path is mostly `/v1/call`.";
    OriginRefused = "origin_refused", false, "Pages of this origin may not use this relay; its operator can add it to `origins`.";
    NotAWebSocket = "not_a_websocket", false, "The relay took no WebSocket. Compare the client's version with the relay's, and look at what stands between them.";
    MicrophoneDenied = "microphone_denied", false, "The browser or the user refused the microphone. Show how to allow it, in the browser and in the system.";
    MicrophoneDismissed = "microphone_dismissed", true, "The user did not answer whether the microphone may open. Ask again after a click.";
    MicrophoneBlocked = "microphone_blocked", false, "This page may not open a microphone. It needs HTTPS or localhost, a policy that allows it, and in an iframe `allow=\"microphone\"`.";
    MicrophoneMissing = "microphone_missing", false, "There is no such microphone. Connect one, or choose another one.";
    MicrophoneBusy = "microphone_busy", true, "The microphone cannot be opened. End the program that holds it, or choose another one.";
    MicrophoneSilent = "microphone_silent", true, "The microphone is silent. The system or a switch may mute it.";
    AudioUnavailable = "audio_unavailable", false, "The browser's audio could not be started. It needs HTTPS or localhost, and a policy that lets the worklet file load.";
    EngineUnavailable = "engine_unavailable", false, "The engine could not be started. Check that the wasm file loads and that the content security policy has 'wasm-unsafe-eval'.";
    WorkerUnavailable = "worker_unavailable", false, "No Worker started, so a busy page delays the call. Check that worker.js or voxrelay.js loads, and that the policy allows it.";
    KeysUnavailable = "keys_unavailable", true, "The relay cannot check the token until it has the issuer's keys. Wait `retry_after_ms`, then come back with the same token.";
    StoreUnavailable = "store_unavailable", true, "The relay's database is away. Wait `retry_after_ms`.";
    Internal = "internal", true, "The relay failed. Its log has the session id and the cause.";
    NotHeard = "not_heard", true, "The agent has not heard what was said. Say it again in a moment, or write it; the relay's log has the cause.";
}

/// An [`HttpCode`]'s word, status, and advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpInfo {
    /// The word in the problem document.
    pub name: &'static str,
    /// The HTTP status it comes with.
    pub status: u16,
    /// What happened and what to do next.
    pub message: &'static str,
}

macro_rules! http_codes {
    ($($variant:ident = $name:literal, $status:literal, $message:literal;)*) => {
        /// What is wrong with an HTTP request, as a word that programs can compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum HttpCode { $(#[doc = $message] $variant,)* }

        impl HttpCode {
            /// Every code, the usual one of a status before the others of it.
            pub const ALL: &[HttpCode] = &[$(HttpCode::$variant,)*];

            /// Word, status, message.
            #[must_use]
            pub const fn info(self) -> HttpInfo {
                match self {
                    $(HttpCode::$variant => HttpInfo { name: $name, status: $status, message: $message },)*
                }
            }
        }
    };
}

http_codes! {
    BadRequest = "bad_request", 400, "The request is not as it has to be; `detail` says what is wrong with it.";
    BadQuery = "bad_query", 400, "A parameter of the query is unknown, is given twice, or is not as it has to be; `detail` names it.";
    BadPath = "bad_path", 400, "A part of the address is not as it has to be; `detail` names it.";
    BadBody = "bad_body", 400, "The body is not JSON, or a field of it is unknown, missing, or not as it has to be; `detail` names it.";
    BadHost = "bad_host", 400, "A request of HTTP/1.1 needs exactly one `Host`.";
    NotAWebSocket = "not_a_websocket", 400, "This address takes WebSocket connections with the subprotocol of this version only.";
    Unauthorized = "unauthorized", 401, "There is no token, or it is not a good one. Mint a new one for this relay.";
    Forbidden = "forbidden", 403, "The user may not do this.";
    Denied = "denied", 403, "The token is good, but its user or its login may not use this relay. Its operator knows why.";
    AdminOnly = "admin_only", 403, "This needs a token with the administrators' role.";
    ReaderOnly = "reader_only", 403, "This needs a token with the role that may read what others said.";
    OriginRefused = "origin_refused", 403, "Pages of this origin may not use this relay; its operator can add it to `origins`.";
    NotFound = "not_found", 404, "There is none, or it is somebody else's.";
    MethodNotAllowed = "method_not_allowed", 405, "This address does not take this method; `Allow` names those that it takes.";
    RequestTimeout = "request_timeout", 408, "The body did not come in time.";
    KeyInUse = "key_in_use", 409, "Another credit has this `key`. Give this one a key of its own.";
    CreditTooLarge = "credit_too_large", 409, "The account, or the user, was not charged so much for that day, or has it back already; `detail` says how much is left.";
    WireUnknown = "wire_unknown", 409, "There is no such wire at this relay, or it is over: another relay may have it, or a request was lost. Open another one and resume.";
    SessionEnded = "session_ended", 409, "The session has ended: its agent is told nothing more, and nobody is heard in it.";
    CallElsewhere = "call_elsewhere", 409, "Another relay has the call and cannot be asked, or none has it for the moment; `detail` says which. Wait `retry_after_ms`.";
    CommandsFull = "commands_full", 409, "As many commands wait for the session as may. Wait `retry_after_ms`.";
    KeyNameInUse = "key_name_in_use", 409, "Another API key has this `name`, or had it. Give this one a name of its own.";
    KeysFull = "keys_full", 409, "As many API keys are good as may be. Revoke one.";
    KeyedUnderWay = "idempotency_key_under_way", 409, "The request with this `Idempotency-Key` is being answered. Wait `retry_after_ms`, then send it again for the answer.";
    BodyTooLarge = "body_too_large", 413, "The body is longer than the relay takes.";
    UnsupportedMediaType = "unsupported_media_type", 415, "Send JSON as `application/json`.";
    BadRange = "bad_range", 416, "The recording has no such range; `Content-Range` says how long it is.";
    KeyedOtherRequest = "idempotency_key_reused", 422, "This `Idempotency-Key` came with another request. Give this one a key of its own.";
    ApiRate = "api_rate", 429, "More requests a minute than a user or an address may make. Wait `retry_after_ms`.";
    UpgradeRequired = "upgrade_required", 426, "This address takes WebSocket connections, and would take one from here.";
    HeadTooLarge = "head_too_large", 431, "The head of the request is longer than the relay takes.";
    Internal = "internal", 500, "The relay failed. Its log says why.";
    RelayFull = "relay_full", 503, "The relay takes no more of this now. Wait `retry_after_ms`.";
    StoreUnavailable = "store_unavailable", 503, "The relay's database is away. Wait `retry_after_ms`.";
    ListTooLong = "list_too_long", 503, "Reading this took the database too long. Ask for less of it: narrow the range, or name a user or an account.";
    KeysUnavailable = "keys_unavailable", 503, "The relay cannot check tokens until it has the issuer's keys. Wait `retry_after_ms`.";
    RecordingUnavailable = "recording_unavailable", 503, "The recording cannot be read now. Wait `retry_after_ms`.";
    RelayStopping = "relay_stopping", 503, "The relay stops and takes no calls. Wait `retry_after_ms`: the next one does.";
}

impl HttpCode {
    /// The word in the problem document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The usual code of a status.
    #[must_use]
    pub fn of_status(status: u16) -> HttpCode {
        let usual = HttpCode::ALL.iter().find(|code| code.info().status == status);
        usual.copied().unwrap_or(if status < 500 { HttpCode::BadRequest } else { HttpCode::Internal })
    }
}

impl ErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_close_code_reads_back_and_is_listed_in_order() {
        for pair in CloseCode::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
        }
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), *code);
        }
        assert_eq!(CloseCode::from_code(4999), CloseCode::Abnormal);
    }

    #[test]
    fn every_status_has_a_code_and_every_code_a_word_of_its_own() {
        for (i, code) in HttpCode::ALL.iter().enumerate() {
            let info = code.info();
            assert!((400..600).contains(&info.status) && info.message.ends_with('.'), "{}", info.name);
            assert_eq!(HttpCode::of_status(info.status).info().status, info.status);
            assert!(HttpCode::ALL[..i].iter().all(|other| other.name() != info.name), "{}", info.name);
        }
    }

    #[test]
    fn error_words_are_unique_and_say_what_to_do() {
        for (i, code) in ErrorCode::ALL.iter().enumerate() {
            assert!(ErrorCode::ALL[i + 1..].iter().all(|other| other.name() != code.name()));
            assert!(code.info().message.ends_with('.'), "{}", code.name());
        }
    }
}
