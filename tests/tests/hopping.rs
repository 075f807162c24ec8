//! Somebody who goes back and forth between two relays on one database pays for all that is heard, whatever they say of where they stand.

use std::time::Duration;

use protocol::{AudioHeader, Bye, ClientMessage, Codec, Gap, Mark, RelayMessage, Resume};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;
use tests::postgres::shared;
use tests::sound::{silence, voice};
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// A chunk of 100 ms.
const CHUNK: u32 = 1_600;
/// Said without a pause, in samples: no turn ends in it, so nothing of it is committed.
const UNBROKEN: u32 = 128_000;

/// Five minutes ahead, as somebody may be who was away.
const FAR: Mark = Mark { seq: 3_000, position: 4_800_000 };

/// Two relays that run, and their database.
struct Place {
    relays: [Relay; 2],
    database: AnyConnection,
    _folders: [TempDir; 2],
}

/// Somebody with a session, at one of the relays.
struct Hopper<'a> {
    relays: &'a [Relay; 2],
    hops: usize,
    /// Every connection so far: none is closed by its client. The last one is in use.
    connections: Vec<Raw>,
    session: Option<(String, String, u32)>,
    /// The next frame.
    next: Mark,
    committed: Mark,
    /// Samples that were sent, in all.
    sent: u64,
    /// Bytes of the agent's audio that came, in all.
    answered: usize,
}

impl Place {
    async fn new() -> Place {
        let url = shared().database().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let limits = "[limits]\nsessions_per_user = 20\n";
        let relays = [
            Relay::start_on(&url, folders[0].path(), limits).await,
            Relay::start_on(&url, folders[1].path(), limits).await,
        ];
        let database = AnyConnection::connect(url.expose()).await.expect("it runs");
        Place { relays, database, _folders: folders }
    }

    /// Samples in the ledger, once it says what is expected or does not change any more.
    async fn charged(&mut self, enough: impl Fn(u64) -> bool) -> u64 {
        let mut charged = 0;
        for _ in 0..60 {
            let sum = "SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM voxrelay.ledger WHERE unit = 'sample'";
            let sum: i64 = sqlx::query_scalar(sum).fetch_one(&mut self.database).await.expect("readable");
            charged = sum.unsigned_abs();
            if enough(charged) {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        charged
    }
}

impl<'a> Hopper<'a> {
    fn new(relays: &'a [Relay; 2]) -> Hopper<'a> {
        let mark = Mark::default();
        Hopper {
            relays,
            hops: 0,
            connections: Vec::new(),
            session: None,
            next: mark,
            committed: mark,
            sent: 0,
            answered: 0,
        }
    }

    /// Goes to the other relay and says that it stands there. Whether the session goes on.
    async fn hop(&mut self, start: Mark) -> bool {
        let relay = &self.relays[self.hops % 2];
        self.hops += 1;
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        let resume = self.session.take().map(|(session_id, resume_token, epoch)| Resume {
            session_id,
            resume_token,
            epoch,
            received: 0,
            played: None,
        });
        let mut hello = hello(&token_but(&json!({ "sub": "ada" })), resume);
        hello.start = start;
        raw.say(&ClientMessage::from(hello).to_json()).await;
        let goes_on = loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Welcome(welcome)) => {
                    self.session = Some((welcome.session_id, welcome.resume_token, welcome.epoch));
                    (self.next, self.committed) = (start, start);
                    break false;
                }
                Heard::Said(RelayMessage::Resumed(resumed)) => {
                    self.session = Some((resumed.session_id, resumed.resume_token, resumed.epoch));
                    (self.next, self.committed) = (resumed.received, resumed.committed);
                    break true;
                }
                Heard::Said(RelayMessage::ResumeFailed(_)) => {}
                heard => panic!("at hop {}: {heard:?}", self.hops),
            }
        };
        self.connections.push(raw);
        goes_on
    }

    fn raw(&mut self) -> &mut Raw {
        self.connections.last_mut().expect("connected")
    }

    async fn skip(&mut self, to: Mark) {
        let gap = Gap { from: self.next, to };
        self.raw().say(&ClientMessage::from(gap).to_json()).await;
        self.next = to;
    }

    /// Says this as fast as it goes, and waits until the relay has it.
    async fn say(&mut self, samples: &[i16]) {
        for samples in samples.chunks(CHUNK as usize) {
            let mut frame = Vec::new();
            AudioHeader::write(Codec::PcmS16le16000, self.next.seq, self.next.position, &mut frame);
            frame.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
            self.raw().send(Message::binary(frame)).await;
            self.next = Mark { seq: self.next.seq + 1, position: self.next.position + samples.len() as u32 };
            self.sent += samples.len() as u64;
        }
        let all = self.next.seq;
        self.listen(|hopper, received| received.seq >= all || hopper.next.seq > all).await;
    }

    /// Listens until an acknowledgement, or the agent, says enough.
    async fn listen(&mut self, enough: impl Fn(&Hopper<'_>, Mark) -> bool) {
        let mut received = Mark::default();
        while !enough(self, received) {
            match self.raw().next().await {
                Heard::Said(RelayMessage::RelayAck(ack)) => {
                    received = ack.received;
                    self.committed = ack.committed;
                }
                Heard::Audio(bytes) => self.answered += bytes,
                Heard::Closed(code) => panic!("closed with {code} at hop {}", self.hops),
                _ => {}
            }
        }
    }

    async fn hang_up(&mut self) {
        let end = self.next.seq;
        self.raw().say(&ClientMessage::from(Bye { end }).to_json()).await;
        assert_eq!(self.raw().end().await.1, 1000);
    }
}

/// Words with pauses: turns, which are answered and committed.
fn phrases() -> Vec<i16> {
    [voice(2.0), silence(1.5), voice(2.0), silence(1.5)].concat()
}

fn unbroken() -> Vec<i16> {
    voice(f64::from(UNBROKEN) / 16_000.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_more_than_is_committed_at_each_hop_pays_for_all_that_is_heard() {
    let mut place = Place::new().await;
    let mut hopper = Hopper::new(&place.relays);
    for hop in 0..4 {
        // One more than there can be, whatever was committed since the last word of it.
        let claimed = Mark { seq: hopper.next.seq + 1, position: 0 };
        assert!(!hopper.hop(claimed).await, "that is never committed: a new session begins");
        hopper.say(&phrases()).await;
        let before = hopper.answered;
        hopper.listen(|hopper, _| hopper.answered > before).await;
        assert_eq!(hopper.connections.len(), hop + 1);
    }
    hopper.hang_up().await;
    let sent = hopper.sent;
    assert_eq!(place.charged(|charged| charged >= sent).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_jumps_far_ahead_first_pays_for_all_that_is_heard() {
    let mut place = Place::new().await;
    let mut hopper = Hopper::new(&place.relays);
    assert!(!hopper.hop(Mark::default()).await);
    hopper.skip(FAR).await;
    hopper.say(&phrases()).await;
    let mut said = hopper.sent;
    for _ in 0..3 {
        let (from, to) = (hopper.committed, hopper.next);
        assert!(hopper.hop(from).await, "honest: the session goes on");
        // From what is committed on, as the relay asks for it.
        let again = to.position - hopper.next.position.max(FAR.position);
        if hopper.next.seq < FAR.seq {
            hopper.skip(FAR).await;
        }
        let new = phrases().len();
        hopper.say(&phrases().repeat(4)[..new + again as usize]).await;
        said += new as u64;
    }
    hopper.hang_up().await;
    let charged = place.charged(|charged| charged >= said).await;
    assert!(charged >= said, "{charged} charged of {said} said");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_the_same_again_at_each_hop_while_nothing_is_committed_has_it_free_once() {
    let mut place = Place::new().await;
    let mut hopper = Hopper::new(&place.relays);
    for hop in 0..4 {
        assert_eq!(hopper.hop(Mark::default()).await, hop > 0);
        assert_eq!(hopper.next, Mark::default(), "nothing is committed");
        hopper.say(&unbroken()).await;
    }
    hopper.hang_up().await;
    let (sent, half) = (hopper.sent, hopper.sent / 2);
    let charged = place.charged(|charged| charged >= half).await;
    assert_eq!(charged, half, "of {sent}: each second time is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_something_else_at_each_hop_while_nothing_is_committed_pays_for_all_of_it() {
    let mut place = Place::new().await;
    let mut hopper = Hopper::new(&place.relays);
    for hop in 0..4 {
        let before = hopper.next;
        assert_eq!(hopper.hop(hopper.committed).await, hop > 0);
        if hop > 0 {
            // What was said at the other relay is declared as lost.
            hopper.skip(before).await;
        }
        hopper.say(&unbroken()).await;
    }
    hopper.hang_up().await;
    let sent = hopper.sent;
    let charged = place.charged(|charged| charged >= sent).await;
    assert_eq!(charged, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_client_that_comes_to_another_relay_pays_for_nothing_twice() {
    let mut place = Place::new().await;
    let mut hopper = Hopper::new(&place.relays);
    hopper.hop(Mark::default()).await;
    hopper.say(&unbroken()).await;
    assert!(hopper.hop(hopper.committed).await);
    let once = [unbroken(), silence(2.0), phrases()].concat();
    hopper.say(&once).await;
    hopper.hang_up().await;
    let all = once.len() as u64;
    let charged = place.charged(|charged| charged >= all).await;
    assert_eq!(charged, all);
}
