mod drain;

use super::*;
use crate::money::NanoUsd;
use crate::money::budget::{Caps, Grant, Range, Standing, TokenCaps};
use protocol::{Hello, Mark};

const TOKEN: Duration = Duration::from_secs(600);
const TOKEN_GRACE: Duration = Duration::from_secs(60);
const STORE_GRACE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(3_600);

fn identity(sub: &str, account: &str, login: &str, expires_at: u64) -> Identity {
    Identity { login: Some(login.into()), ..Identity::new(sub.into(), account.into(), expires_at) }
}

fn ada() -> Identity {
    identity("ada", "acme", "login-1", 1_600)
}

struct Bench {
    policy: Policy,
    now: Time,
}

impl Bench {
    fn new() -> Bench {
        Bench::of(1)
    }

    /// One whose waits come from this seed.
    fn of(seed: u64) -> Bench {
        let now = Time::from_millis(5_000);
        let config = Config {
            identity: ada(),
            left: TOKEN,
            token_grace: TOKEN_GRACE,
            store_grace: STORE_GRACE,
            lease: now + LEASE,
            reconnects: 0,
            seed,
        };
        Bench { policy: Policy::new(now, config), now }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.policy.handle_input(self.now, input);
        std::iter::from_fn(|| self.policy.poll_output()).collect()
    }

    fn after(&mut self, time: Duration) -> Vec<Output> {
        self.now = self.now + time;
        self.input(Input::Timeout)
    }

    /// At the time that it wants to be told of.
    fn due(&mut self) -> Vec<Output> {
        self.now = self.policy.poll_timeout().expect("something is due");
        self.input(Input::Timeout)
    }

    fn resume(&mut self, number: u64) -> Vec<Output> {
        self.input(Input::Resume { visitor: Box::new(visitor(number)), token: ResumeToken::Newest })
    }

    fn refused(&mut self, kind: FailureKind) -> Vec<Output> {
        self.input(Input::Refused { failure: failure(kind), is_end: false })
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, why: "so".into() }
}

fn hello() -> Hello {
    let text = r#"{"type":"hello","token":"t","client":"c","codec":"pcm_s16le_16000","start":{"seq":0,"position":0},"resume":{"session_id":"s","resume_token":"used","epoch":0,"received":0}}"#;
    protocol::relay::Handshake::new(Time::ZERO).handle_text(text).expect("a hello")
}

fn visitor(number: u64) -> Visitor {
    Visitor {
        number,
        hello: hello(),
        identity: ada(),
        left: TOKEN,
        token: format!("token-{number}"),
        hash: [number as u8; 32],
        replaced: [0; 32],
    }
}

fn next_token(number: u64, reconnects: u32) -> NextToken {
    NextToken { hash: [number as u8; 32], replaced: [0; 32], reconnects }
}

fn attach(number: u64) -> Output {
    Output::Attach { number, hello: Box::new(hello()), token: format!("token-{number}") }
}

/// As [`attach`], with the resume token that the connection came with.
fn attach_unstored(number: u64) -> Output {
    Output::Attach { number, hello: Box::new(hello()), token: "used".into() }
}

fn resumed(reconnects: u32) -> Output {
    Output::Note(Note::Resumed { reconnects })
}

fn reservation() -> Reservation {
    let through = Range { at_least: NanoUsd::new(1), at_most: NanoUsd::new(2) };
    Reservation { through, spent: NanoUsd::ZERO, exposed: NanoUsd::ZERO }
}

fn standing() -> Standing {
    Standing::unused(Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    })
}

/// A session that goes elsewhere writes what is owed, and is found detached by whoever takes it over.
fn leaving(sent_away: bool) -> [Output; 3] {
    [Output::Checkpoint { sent_away }, Output::WriteDetached, Output::EndRecording]
}

#[test]
fn a_connection_goes_on_with_the_session_once_its_resume_token_is_stored() {
    let mut bench = Bench::new();
    assert_eq!(bench.resume(0), [Output::WriteResumed(next_token(0, 1))]);
    assert_eq!(bench.input(Input::Written(Written::Other)), []);
    assert_eq!(bench.input(Input::Written(Written::Resumed(1))), [resumed(1), attach(0)]);
    assert_eq!(bench.policy.reconnects(), 1);
}

#[test]
fn a_connection_with_a_resume_token_that_is_not_good_goes_back() {
    let mut bench = Bench::new();
    let outputs = bench.input(Input::Resume { visitor: Box::new(visitor(4)), token: ResumeToken::Unknown });
    assert_eq!(outputs, [Output::HandBack(4)]);
    assert_eq!(bench.policy.reconnects(), 0);
}

#[test]
fn a_resume_does_not_wait_for_a_slow_store_for_longer_than_two_seconds() {
    let mut bench = Bench::new();
    bench.resume(0);
    assert_eq!(bench.policy.poll_timeout(), Some(bench.now + STORE_TIMEOUT));
    assert_eq!(bench.after(STORE_TIMEOUT / 2), []);
    assert_eq!(bench.due(), [Output::Note(Note::ResumeTokenLate), resumed(1), attach_unstored(0)]);
    assert_eq!(bench.input(Input::Written(Written::Resumed(1))), [], "it is attached once");
}

#[test]
fn a_resume_does_not_wait_at_all_while_the_database_is_away_and_its_client_keeps_the_token_that_is_stored() {
    let mut bench = Bench::new();
    bench.input(Input::Away(Some(bench.now)));
    assert_eq!(bench.resume(0), [resumed(1), attach_unstored(0)]);
}

#[test]
fn a_client_that_comes_with_an_older_resume_token_keeps_it_since_the_store_knows_no_more_than_two() {
    let mut bench = Bench::new();
    let older = Input::Resume { visitor: Box::new(visitor(0)), token: ResumeToken::Older };
    assert_eq!(bench.input(older), [resumed(1), attach_unstored(0)]);
}

#[test]
fn once_the_client_has_the_newest_resume_token_the_store_forgets_the_one_before() {
    let mut bench = Bench::new();
    bench.resume(1);
    bench.input(Input::Written(Written::Resumed(1)));
    let only = |reconnects| NextToken { hash: [1; 32], replaced: [1; 32], reconnects };
    assert_eq!(bench.input(Input::Greeted([1; 32])), [Output::WriteResumed(only(1))]);
    // A newer token is on its way to the store: what comes after it there would put an older one in its place.
    bench.resume(2);
    assert_eq!(bench.input(Input::Greeted([1; 32])), []);
    bench.input(Input::Written(Written::Resumed(2)));
    bench.input(Input::LinkEnded(CloseCode::Normal));
    assert_eq!(bench.input(Input::Greeted([2; 32])), [], "an ending session has no use for it");
}

#[test]
fn the_second_connection_waits_for_the_first_and_a_third_takes_its_place() {
    let mut bench = Bench::new();
    bench.resume(0);
    assert_eq!(bench.resume(1), []);
    assert_eq!(bench.resume(2), [Output::TurnAway(1, CloseCode::Replaced)]);
    let outputs = bench.input(Input::Written(Written::Resumed(1)));
    let revisit = Output::Revisit(Box::new(visitor(2)));
    assert_eq!(outputs, [resumed(1), attach(0), revisit], "its token is to be asked about again");
    assert_eq!(bench.resume(2), [Output::WriteResumed(next_token(2, 2))]);
    assert_eq!(bench.input(Input::Written(Written::Resumed(2))), [resumed(2), attach(2)]);
}

#[test]
fn a_connection_of_another_login_brings_its_login_and_its_token() {
    let mut bench = Bench::new();
    let mut visitor = visitor(0);
    visitor.identity = identity("ada", "acme", "login-2", 9_000);
    visitor.left = TOKEN * 10;
    bench.input(Input::Resume { visitor: Box::new(visitor), token: ResumeToken::Newest });
    let outputs = bench.input(Input::Written(Written::Resumed(1)));
    assert_eq!(outputs[0], Output::Login(Some("login-2".into())));
    assert!(bench.policy.poll_timeout() > Some(bench.now + TOKEN), "its token is the one in use");
}

#[test]
fn a_client_is_asked_for_another_token_and_without_one_the_session_ends_after_the_grace() {
    let mut bench = Bench::new();
    let begun = bench.now;
    let mut asked = 0;
    loop {
        match &bench.due()[..] {
            [Output::TokenExpiring { left }] => {
                asked += 1;
                assert_eq!(bench.now + *left, begun + TOKEN + TOKEN_GRACE);
            }
            [Output::Stop(CloseCode::Unauthorized)] => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(asked >= 3, "{asked}");
    assert_eq!(bench.now, begun + TOKEN + TOKEN_GRACE);
    assert_eq!(bench.policy.poll_timeout(), Some(begun + LEASE), "it is told once to stop");
}

#[test]
fn a_fresh_token_of_the_same_user_is_the_one_in_use_from_then_on() {
    let mut bench = Bench::new();
    let check = Output::Check { token: "fresh".into(), wait: Duration::ZERO };
    assert_eq!(bench.input(Input::Token("fresh".into())), [check]);
    let left = TOKEN * 2;
    let good = |sub: &str, account: &str| {
        let identity = identity(sub, account, "login-1", 2_200);
        Input::Checked(Box::new(Checked::Good { identity, left, is_denied: false }))
    };
    assert_eq!(bench.input(good("ada", "acme")), [Output::TokenAccepted { left }]);
    for (sub, account, cause) in [("bob", "acme", "other_sub"), ("ada", "other", "other_account")] {
        let mut bench = Bench::new();
        bench.input(Input::Token("fresh".into()));
        let outputs = bench.input(good(sub, account));
        assert!(
            matches!(&outputs[..], [Output::Note(Note::TokenRefused { cause: said, .. }), Output::Stop(CloseCode::Unauthorized)] if *said == cause),
            "{outputs:?}"
        );
    }
}

#[test]
fn a_fresh_token_of_a_denied_user_ends_the_session() {
    let mut bench = Bench::new();
    bench.input(Input::Token("fresh".into()));
    let denied = Checked::Good { identity: ada(), left: TOKEN, is_denied: true };
    assert_eq!(bench.input(Input::Checked(Box::new(denied))), [Output::Stop(CloseCode::Forbidden)]);
}

#[test]
fn a_bad_token_is_told_and_the_one_in_use_stays_good() {
    let mut bench = Bench::new();
    let due = bench.policy.poll_timeout();
    bench.input(Input::Token("bad".into()));
    let bad = Checked::Bad { cause: "expired", why: "so".into(), retry_after: None };
    let note = Note::TokenRefused { cause: "expired", why: "so".into() };
    assert_eq!(
        bench.input(Input::Checked(Box::new(bad))),
        [Output::TokenRefused { left: TOKEN }, Output::Note(note)]
    );
    assert_eq!(bench.policy.poll_timeout(), due, "it is asked for as before");
}

#[test]
fn a_token_that_nobody_can_judge_is_looked_at_again_for_two_minutes_and_nothing_is_asked_meanwhile() {
    let mut bench = Bench::new();
    bench.input(Input::Token("fresh".into()));
    let begun = bench.now;
    let mut waited = Duration::ZERO;
    loop {
        let retry_after = Some(Duration::from_millis(100));
        let unknown = Checked::Bad { cause: "keys_unavailable", why: "so".into(), retry_after };
        match &bench.input(Input::Checked(Box::new(unknown)))[..] {
            [Output::Check { token, wait }] => {
                assert_eq!((token.as_str(), *wait), ("fresh", AGAIN_AFTER), "no faster than that");
                waited += *wait;
                bench.now = bench.now + *wait;
                assert_eq!(bench.policy.poll_timeout(), Some(begun + TOKEN + TOKEN_GRACE + PATIENCE));
            }
            [Output::TokenRefused { .. }, Output::Note(_)] => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waited, LEAD + PATIENCE);
}

#[test]
fn what_was_looked_at_before_the_newest_token_does_not_count() {
    let mut bench = Bench::new();
    let good = || Checked::Good { identity: ada(), left: TOKEN, is_denied: false };
    assert_eq!(bench.input(Input::Checked(Box::new(good()))), [], "nothing was asked");
    bench.input(Input::Token("fresh".into()));
    bench.input(Input::Checked(Box::new(good())));
    assert_eq!(bench.input(Input::Checked(Box::new(good()))), []);
}

#[test]
fn money_is_asked_for_again_while_the_database_is_away() {
    let mut bench = Bench::new();
    let at_once = Output::Reserve { reservation: reservation(), wait: Duration::ZERO };
    assert_eq!(bench.input(Input::Reserve(reservation())), [at_once]);
    for _ in 0..10 {
        match &bench.input(Input::Reserved(Err(failure(FailureKind::Away))))[..] {
            [Output::Reserve { reservation: again, wait }] => {
                assert_eq!(*again, reservation());
                assert!((RESERVE_RETRY / 2..=RESERVE_RETRY * 3 / 2).contains(wait), "{wait:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let granted = Reserved::Granted(Grant { authorised: NanoUsd::new(2), standing: standing() });
    assert_eq!(bench.input(Input::Reserved(Ok(granted))), [Output::Reserved(granted)]);
}

#[test]
fn a_refused_reservation_ends_the_session_after_what_was_spent_is_written() {
    let mut bench = Bench::new();
    bench.input(Input::Reserve(reservation()));
    let outputs = bench.input(Input::Reserved(Err(failure(FailureKind::Refused))));
    let note = Output::Note(Note::NotSetAside { why: "so".into() });
    assert_eq!(outputs, [note, Output::Stop(CloseCode::Internal)]);

    let mut bench = Bench::new();
    bench.input(Input::Reserve(reservation()));
    let outputs = bench.input(Input::Reserved(Err(failure(FailureKind::Fenced))));
    assert_eq!(outputs, [Output::Stop(CloseCode::Internal), Output::WriteEnd(CloseCode::Internal)]);
}

#[test]
fn what_is_written_is_told_to_the_call() {
    let mut bench = Bench::new();
    let mark = Mark { seq: 4, position: 6_400 };
    assert_eq!(bench.input(Input::Written(Written::Turns(mark))), [Output::Stored(mark)]);
    let (cost, standing) = (NanoUsd::new(9), standing());
    assert_eq!(
        bench.input(Input::Written(Written::Settled { cost, standing })),
        [Output::Settled { cost, standing }]
    );
}

#[test]
fn a_call_that_is_over_is_noted_and_then_the_client_hears_of_it() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.input(Input::CallEnded(CloseCode::Budget)),
        [Output::EndRecording, Output::WriteEnd(CloseCode::Budget)]
    );
    assert!(!bench.policy.is_live());
    assert_eq!(bench.input(Input::Written(Written::End)), [Output::TellEnd(CloseCode::Budget)]);
    assert!(bench.policy.has_ended());
    bench.policy.finish();
    assert_eq!(bench.policy.poll_output(), Some(Output::Over(Departure::Ended(CloseCode::Budget))));
}

#[test]
fn an_end_that_cannot_be_stored_is_told_nevertheless() {
    let mut bench = Bench::new();
    bench.input(Input::CallEnded(CloseCode::Normal));
    let outputs = bench.input(Input::Refused { failure: failure(FailureKind::Refused), is_end: true });
    let note = Output::Note(Note::EndNotStored { why: "so".into() });
    assert_eq!(outputs, [note, Output::TellEnd(CloseCode::Normal)]);
}

#[test]
fn the_links_reason_counts_before_the_calls() {
    let mut bench = Bench::new();
    assert_eq!(bench.input(Input::LinkEnded(CloseCode::Idle)), [Output::Stop(CloseCode::Idle)]);
    assert_eq!(
        bench.input(Input::CallEnded(CloseCode::Internal)),
        [Output::EndRecording, Output::WriteEnd(CloseCode::Idle)]
    );
}

#[test]
fn a_session_that_is_not_over_is_not_finished() {
    let mut bench = Bench::new();
    bench.policy.finish();
    bench.input(Input::LinkEnded(CloseCode::Abnormal));
    bench.policy.finish();
    assert_eq!(bench.policy.poll_output(), None);
}

#[test]
fn a_fenced_write_means_that_another_relay_has_the_session_and_nothing_more_is_written() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.refused(FailureKind::Fenced),
        [Output::EndRecording, Output::Over(Departure::TakenOver)]
    );
    assert!(bench.policy.is_over());
    assert_eq!(bench.policy.poll_timeout(), None);
    assert_eq!(bench.input(Input::Shutdown), []);
}

#[test]
fn a_deleted_session_ends_and_whoever_waits_to_go_on_with_it_hears_how() {
    let mut bench = Bench::new();
    bench.resume(0);
    assert_eq!(
        bench.refused(FailureKind::Erased),
        [
            Output::Note(Note::Erased),
            resumed(1),
            attach_unstored(0),
            Output::Stop(CloseCode::Internal),
            Output::WriteEnd(CloseCode::Internal),
        ]
    );
}

#[test]
fn a_record_that_is_refused_for_good_ends_the_session_after_what_was_spent_is_written() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.refused(FailureKind::Refused),
        [
            Output::Note(Note::NotStored { why: "so".into() }),
            Output::Stop(CloseCode::Internal),
            Output::WriteEnd(CloseCode::Internal),
        ]
    );
}

#[test]
fn a_session_that_may_have_been_taken_over_asks_the_store_with_what_it_owes() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.input(Input::TakenOver),
        [Output::Stop(CloseCode::Internal), Output::WriteEnd(CloseCode::Internal)]
    );
}

#[test]
fn an_administrators_order_stops_the_call() {
    let mut bench = Bench::new();
    let outputs = bench.input(Input::End(CloseCode::EndedByOperator));
    assert_eq!(outputs, [Output::Stop(CloseCode::EndedByOperator)]);
    assert!(bench.policy.is_live(), "what was said is written first");
}

#[test]
fn a_relay_that_stops_leaves_its_sessions_and_they_pay_for_nothing_twice() {
    let mut bench = Bench::new();
    assert_eq!(bench.input(Input::Shutdown), leaving(true));
    assert_eq!(bench.input(Input::Owed { is_empty: false, is_kept: true }), [], "the database comes first");
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    assert_eq!(bench.input(Input::Owed { is_empty: true, is_kept: true }), [Output::Over(departure)]);
}

#[test]
fn a_session_that_is_ending_is_not_left_when_the_relay_stops() {
    let mut bench = Bench::new();
    bench.input(Input::CallEnded(CloseCode::Normal));
    assert_eq!(bench.input(Input::Shutdown), []);
}

#[test]
fn a_session_whose_client_went_to_another_relay_lets_go_of_its_lease() {
    let mut bench = Bench::new();
    assert_eq!(bench.input(Input::HandOff), leaving(false));
    let departure = Departure::HandedOff { code: CloseCode::Replaced, let_go: true };
    assert_eq!(bench.input(Input::Owed { is_empty: true, is_kept: true }), [Output::Over(departure)]);
}

#[test]
fn a_session_leaves_when_the_database_has_been_away_for_the_grace_and_not_if_it_comes_back() {
    let mut bench = Bench::new();
    bench.input(Input::Away(Some(bench.now)));
    assert_eq!(bench.policy.poll_timeout(), Some(bench.now + STORE_GRACE));
    bench.now = bench.now + STORE_GRACE - Duration::from_secs(1);
    bench.input(Input::Away(None));
    assert_eq!(bench.after(Duration::from_secs(1)), []);
    bench.input(Input::Away(Some(bench.now)));
    assert_eq!(bench.after(STORE_GRACE), leaving(true));
}

#[test]
fn a_session_leaves_when_its_lease_is_not_renewed_unless_its_end_is_stored() {
    let mut bench = Bench::new();
    bench.input(Input::Lease(bench.now + Duration::from_secs(30)));
    bench.input(Input::Lease(bench.now + Duration::from_secs(40)));
    assert_eq!(bench.after(Duration::from_secs(39)), []);
    assert_eq!(bench.after(Duration::from_secs(1)), leaving(true));

    let mut bench = Bench::new();
    bench.input(Input::CallEnded(CloseCode::Normal));
    bench.input(Input::Written(Written::End));
    assert_eq!(bench.after(LEASE), []);
}

#[test]
fn what_cannot_be_written_in_two_seconds_is_kept_here_and_what_the_disk_refuses_is_held() {
    let mut bench = Bench::new();
    bench.input(Input::Shutdown);
    bench.now = bench.now + STORE_TIMEOUT / 2;
    assert_eq!(bench.input(Input::Timeout), []);
    assert_eq!(bench.due(), [Output::Note(Note::KeptHere), Output::KeepAll]);
    assert_eq!(bench.input(Input::Owed { is_empty: false, is_kept: false }), []);
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    let gone = [Output::HoldRest, Output::Over(departure)];
    assert_eq!(bench.input(Input::Owed { is_empty: false, is_kept: true }), gone);
}

#[test]
fn a_disk_that_does_not_answer_is_not_waited_for_longer_than_ten_seconds() {
    let mut bench = Bench::new();
    bench.input(Input::HandOff);
    bench.due();
    assert_eq!(bench.policy.poll_timeout(), Some(bench.now + KEEP_TIMEOUT));
    let departure = Departure::HandedOff { code: CloseCode::Replaced, let_go: true };
    assert_eq!(bench.due(), [Output::HoldRest, Output::Over(departure)]);
}

#[test]
fn a_session_that_leaves_does_not_stop_for_a_refused_record_and_takes_nobody_in() {
    let mut bench = Bench::new();
    bench.resume(0);
    bench.input(Input::Shutdown);
    let note = Output::Note(Note::NotStoredOnLeaving { why: "so".into() });
    assert_eq!(bench.refused(FailureKind::Fenced), [note]);
    assert_eq!(bench.resume(1), [Output::TurnAway(1, CloseCode::GoingAway)]);
    assert_eq!(bench.input(Input::Written(Written::Resumed(1))), [], "nor whoever has waited");
    assert_eq!(bench.input(Input::End(CloseCode::Normal)), []);
}
