//! Limits on how often and how many: sessions a minute by user and by network address, connections a minute by address, and connections of an
//! address that wait to be greeted.
//!
//! The limits themselves are arguments, since they differ by plan. Memory is bounded: rates are kept for those who came in the last minute,
//! connections for as long as they wait.
//!
//! Everything here is counted in one relay's memory, at the cost of no write, and so before anything is asked of the database. What holds over
//! all relays of a database is counted there: sessions a minute when one begins (`records::store::Quota`, by [`PerMinute`]), and resumes by
//! [`resumed_elsewhere`].

mod per_minute;
mod rate;
mod waiting;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use protocol::relay::Refusal;
use protocol::{CloseCode, ErrorCode, ErrorMessage};

pub use per_minute::PerMinute;
pub use rate::{Asking, Rates};
pub use waiting::Waiting;
use waiting::WaitingRoom;

/// How often a user may resume sessions in a minute. Each resume is a write to the store. No network breaks twice a second, and a client that
/// has to wait loses nothing.
pub const RESUMES_PER_MINUTE: u32 = 120;
/// How many times as many preflights as a user an address may make in a minute, because users may share an address.
const USERS_OF_AN_ADDRESS: u32 = 10;
/// How many preflights of an address there may be at the same time.
const PREFLIGHTS_OF_AN_ADDRESS: u32 = 10;
/// How often [`Throttle::sweep`] is to be called.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// A limit that was exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Which limit it is.
    pub code: ErrorCode,
    /// The value of the limit.
    pub limit: u64,
    /// The value that would have been reached.
    pub asked: u64,
    /// After how long to come back.
    pub retry_after: Duration,
}

impl Excess {
    /// After how long to come back, in milliseconds, rounded up so that it is never too early.
    #[must_use]
    pub fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    /// The refusal that the client is told.
    #[must_use]
    pub fn to_refusal(&self) -> Refusal {
        let error = ErrorMessage {
            limit: Some(self.limit),
            asked: Some(self.asked),
            retry_after_ms: Some(self.retry_after_ms()),
            ..self.code.into()
        };
        let close = if self.code == ErrorCode::RelayFull { CloseCode::TryLater } else { CloseCode::Limited };
        Refusal { error, close }
    }
}

/// Whose preflights are counted.
#[derive(Hash)]
enum Who<'a> {
    Address(IpAddr),
    User(&'a str),
}

/// Counts by user and by address, for every connection of the relay.
#[derive(Debug)]
pub struct Throttle<C: Clock = DefaultClock> {
    users: Rates<C>,
    addresses: Rates<C>,
    resumes: Rates<C>,
    connections: Rates<C>,
    waiting: WaitingRoom,
    preflights: Rates<C>,
    preflights_under_way: WaitingRoom,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Throttle<C> {
    /// A throttle that uses the caller's clock.
    #[must_use]
    pub fn with_clock(clock: C) -> Throttle<C> {
        Throttle {
            users: Rates::with_clock(clock.clone()),
            addresses: Rates::with_clock(clock.clone()),
            resumes: Rates::with_clock(clock.clone()),
            connections: Rates::with_clock(clock.clone()),
            waiting: WaitingRoom::default(),
            preflights: Rates::with_clock(clock),
            preflights_under_way: WaitingRoom::default(),
        }
    }

    /// Counts a connection that waits to be greeted, or looks whether one could: among those that wait until the returned [`Waiting`] is dropped, and for a minute among
    /// those that came.
    ///
    /// # Errors
    /// When `limit` connections of this address wait already, or `per_minute` came in a minute.
    pub fn wait(
        &self,
        asking: Asking,
        address: IpAddr,
        limit: u32,
        per_minute: u32,
    ) -> Result<Waiting, Excess> {
        let address = network(address);
        let waiting = self.waiting.enter(address, limit)?;
        self.connections.ask(asking, ErrorCode::AddressRate, &address, per_minute)?;
        Ok(waiting)
    }

    /// Counts a preflight of an address, which may make ten times as many in a minute as a user may: among those that are under way until the
    /// returned [`Waiting`] is dropped.
    ///
    /// # Errors
    /// When too many of this address are under way already, or came in a minute.
    pub fn preflight(&self, address: IpAddr, per_minute: u32) -> Result<Waiting, Excess> {
        let address = network(address);
        let under_way = self
            .preflights_under_way
            .enter(address, PREFLIGHTS_OF_AN_ADDRESS)
            .map_err(|excess| Excess { code: ErrorCode::PreflightRate, ..excess })?;
        let per_minute = per_minute.saturating_mul(USERS_OF_AN_ADDRESS);
        self.preflights.take(ErrorCode::PreflightRate, &Who::Address(address), per_minute)?;
        Ok(under_way)
    }

    /// Counts a preflight of a user.
    ///
    /// # Errors
    /// When as many as the limit allows were made in a minute already.
    pub fn preflight_of(&self, user: &str, per_minute: u32) -> Result<(), Excess> {
        self.preflights.take(ErrorCode::PreflightRate, &Who::User(user), per_minute)
    }

    /// Counts a session that a user begins from an address, or looks whether one could begin, each given with its limit a minute. A session that is one too many for the user
    /// is not counted for the address.
    ///
    /// # Errors
    /// When as many sessions as the limit allows were begun in a minute already, by the user or else from the address.
    pub fn begin(&self, asking: Asking, user: (&str, u32), address: (IpAddr, u32)) -> Result<(), Excess> {
        let ((user, of_user), (address, of_address)) = (user, address);
        self.users.ask(asking, ErrorCode::SessionRate, &user, of_user)?;
        self.addresses.ask(asking, ErrorCode::AddressRate, &network(address), of_address)
    }

    /// Counts a user's wish to go on with a session.
    ///
    /// # Errors
    /// When the user had that wish [`RESUMES_PER_MINUTE`] times in a minute already.
    pub fn resume(&self, user: &str) -> Result<(), Excess> {
        self.resumes.take(ErrorCode::ResumeRate, &user, RESUMES_PER_MINUTE)
    }

    /// Forgets users and addresses that have all of their limits again, and gives the memory back. It is to be called every
    /// [`SWEEP_INTERVAL`].
    pub fn sweep(&self) {
        self.users.sweep();
        self.addresses.sweep();
        self.resumes.sweep();
        self.connections.sweep();
        self.waiting.sweep();
        self.preflights.sweep();
        self.preflights_under_way.sweep();
    }
}

/// Checks that a session of this age that was resumed so often may be resumed on another relay. [`Throttle::resume`] only counts on one
/// relay, and the session's own count is of all of them.
///
/// # Errors
/// When the session was resumed more often than [`RESUMES_PER_MINUTE`] on average, beyond as many at once.
pub fn resumed_elsewhere(resumes: u32, age: Duration) -> Result<(), Excess> {
    let each = Duration::from_secs(60) / RESUMES_PER_MINUTE;
    let due = each * resumes.saturating_sub(RESUMES_PER_MINUTE - 1);
    match due.checked_sub(age).filter(|wait| !wait.is_zero()) {
        None => Ok(()),
        Some(retry_after) => {
            let limit = u64::from(RESUMES_PER_MINUTE);
            Err(Excess { code: ErrorCode::ResumeRate, limit, asked: limit + 1, retry_after })
        }
    }
}

/// The address that an address is counted as. All IPv6 addresses of one /64 count as one, because every customer has at least so many.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn code(result: Result<(), Excess>) -> Option<ErrorCode> {
        result.err().map(|excess| excess.code)
    }

    #[test]
    fn an_ipv6_customer_is_one_address_and_a_mapped_ipv4_is_itself() {
        assert_eq!(network(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_ne!(network(address("2001:db8:1:2::1")), network(address("2001:db8:1:3::1")));
        assert_eq!(network(address("::ffff:192.0.2.7")), address("192.0.2.7"));
        assert_eq!(network(address("192.0.2.7")), address("192.0.2.7"));
    }

    #[test]
    fn sessions_are_counted_by_user_and_by_address() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(throttle.begin(Asking::Take, ("ada", 1), (here, 3)), Ok(()));
        assert_eq!(code(throttle.begin(Asking::Take, ("ada", 1), (there, 3))), Some(ErrorCode::SessionRate));
        assert_eq!(throttle.begin(Asking::Take, ("bob", 1), (here, 3)), Ok(()));
        assert_eq!(throttle.begin(Asking::Take, ("cyd", 1), (here, 3)), Ok(()));
        assert_eq!(code(throttle.begin(Asking::Take, ("dan", 1), (here, 3))), Some(ErrorCode::AddressRate));
        assert_eq!(throttle.begin(Asking::Take, ("eve", 1), (there, 3)), Ok(()));
    }

    #[test]
    fn preflights_have_a_rate_of_their_own_by_user_and_by_address() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(throttle.preflight_of("ada", 1), Ok(()));
        assert_eq!(code(throttle.preflight_of("ada", 1)), Some(ErrorCode::PreflightRate));
        assert_eq!(throttle.preflight_of("bob", 1), Ok(()));
        for _ in 0..USERS_OF_AN_ADDRESS {
            assert!(throttle.preflight(here, 1).is_ok());
        }
        assert_eq!(code(throttle.preflight(here, 1).map(drop)), Some(ErrorCode::PreflightRate));
        assert!(throttle.preflight(there, 1).is_ok());
        assert_eq!(throttle.begin(Asking::Take, ("ada", 1), (here, 1)), Ok(()), "calls are none of them");
    }

    #[test]
    fn an_address_has_so_many_preflights_at_a_time() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let here = address("192.0.2.1");
        let begin = || throttle.preflight(here, 100);
        let mut under_way: Vec<_> =
            (0..PREFLIGHTS_OF_AN_ADDRESS).map(|_| begin().expect("there is room")).collect();
        assert_eq!(code(begin().map(drop)), Some(ErrorCode::PreflightRate));
        assert!(throttle.wait(Asking::Take, here, 1, 1).is_ok(), "calls are none of them");
        under_way.pop();
        assert!(begin().is_ok());
    }

    #[test]
    fn who_looks_whether_a_session_could_begin_begins_none() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let here = (address("192.0.2.1"), 1);
        for _ in 0..10 {
            assert_eq!(throttle.begin(Asking::Look, ("ada", 1), here), Ok(()));
            assert!(throttle.wait(Asking::Look, here.0, 1, 1).is_ok());
        }
        assert_eq!(throttle.begin(Asking::Take, ("ada", 1), here), Ok(()));
        assert_eq!(code(throttle.begin(Asking::Look, ("ada", 1), here)), Some(ErrorCode::SessionRate));
        assert_eq!(code(throttle.begin(Asking::Look, ("bob", 1), here)), Some(ErrorCode::AddressRate));
    }

    #[test]
    fn a_resume_is_no_new_session_and_is_limited_for_itself() {
        let clock = FakeRelativeClock::default();
        let (throttle, here) = (Throttle::with_clock(clock.clone()), (address("192.0.2.1"), 1));
        assert_eq!(throttle.begin(Asking::Take, ("ada", 1), here), Ok(()));
        for _ in 0..RESUMES_PER_MINUTE {
            assert_eq!(throttle.resume("ada"), Ok(()));
        }
        let excess = throttle.resume("ada").expect_err("one more");
        assert_eq!((excess.code, excess.retry_after_ms()), (ErrorCode::ResumeRate, 500));
        assert_eq!(throttle.resume("bob"), Ok(()));
        clock.advance(Duration::from_millis(500));
        assert_eq!(throttle.resume("ada"), Ok(()));
    }

    #[test]
    fn resumes_on_other_relays_are_limited_as_if_there_were_one() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (resumes, age, wait_ms) in [
            (0, Duration::ZERO, None),
            (119, Duration::ZERO, None),
            (120, Duration::ZERO, Some(500)),
            (120, Duration::from_millis(500), None),
            (240, minutes(1), Some(500)),
            (1_000, minutes(30), None),
            (u32::MAX, minutes(100_000_000), None),
        ] {
            let refused = resumed_elsewhere(resumes, age).err();
            assert_eq!(refused.map(|excess| excess.retry_after_ms()), wait_ms, "{resumes} in {age:?}");
        }
    }

    #[test]
    fn a_refused_user_takes_nothing_from_those_behind_the_same_address() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let here = (address("192.0.2.1"), 2);
        assert_eq!(throttle.begin(Asking::Take, ("ada", 1), here), Ok(()));
        for _ in 0..100 {
            assert_eq!(code(throttle.begin(Asking::Take, ("ada", 1), here)), Some(ErrorCode::SessionRate));
        }
        assert_eq!(throttle.begin(Asking::Take, ("bob", 1), here), Ok(()));
    }

    #[test]
    fn a_refusal_says_which_limit_its_value_what_was_asked_and_when_to_come_back() {
        let throttle = Throttle::with_clock(FakeRelativeClock::default());
        let here = (address("192.0.2.1"), 100);
        for _ in 0..6 {
            assert_eq!(throttle.begin(Asking::Take, ("ada", 6), here), Ok(()));
        }
        let refusal = throttle.begin(Asking::Take, ("ada", 6), here).expect_err("the seventh").to_refusal();
        assert_eq!(refusal.close, CloseCode::Limited);
        let error = refusal.error;
        assert_eq!((error.code.as_str(), error.retryable), ("session_rate", true));
        assert_eq!((error.limit, error.asked, error.retry_after_ms), (Some(6), Some(7), Some(10_000)));
    }
}
