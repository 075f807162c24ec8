//! A connection over a network that delays, jitters, cuts, goes silent, is slow and stands still. In order while it lasts, as TCP is.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use protocol::Time;

use crate::random::Random;

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Opened,
    Text(String),
    Binary(Bytes),
    /// The other end closed, or the connection broke.
    Closed(u16),
}

impl Packet {
    fn bytes(&self) -> usize {
        match self {
            Packet::Text(text) => text.len(),
            Packet::Binary(frame) => frame.len(),
            Packet::Opened | Packet::Closed(_) => 0,
        }
    }
}

/// A line that carries so many bytes a second, and stands still once, after so many packets, for so long.
#[derive(Clone, Copy, Debug)]
struct Line {
    bytes_per_second: u64,
    stall_after: u64,
    stall: Duration,
}

impl Line {
    /// What one TCP connection makes of a network that loses every third packet: a little less than what is said, or as much.
    fn new(random: &mut Random) -> Line {
        Line {
            bytes_per_second: random.between(28_000, 32_000),
            stall_after: random.between(100, 400),
            stall: Duration::from_millis(random.between(1_000, 20_000)),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    packets: VecDeque<(Time, Packet)>,
    last: Time,
    line: Option<Line>,
    /// When the line is through with each packet that it has not carried yet, and how long it is.
    sending: VecDeque<(Time, usize)>,
}

impl Pipe {
    /// When a packet leaves that is handed over now.
    fn leaves(&mut self, now: Time, bytes: usize) -> Time {
        let Some(line) = &mut self.line else { return now };
        while self.sending.pop_front_if(|(at, _)| *at <= now).is_some() {}
        let mut at = self.sending.back().map_or(now, |(at, _)| *at);
        match line.stall_after.checked_sub(1) {
            Some(left) => line.stall_after = left,
            None => at = at + std::mem::take(&mut line.stall),
        }
        at = at + Duration::from_micros(bytes as u64 * 1_000_000 / line.bytes_per_second);
        self.sending.push_back((at, bytes));
        at
    }

    pub(crate) fn unsent(&self, now: Time) -> usize {
        self.sending.iter().filter(|(at, _)| *at > now).map(|(_, bytes)| bytes).sum()
    }

    pub(crate) fn push(&mut self, at: Time, packet: Packet) {
        self.last = self.last.max(at);
        self.packets.push_back((self.last, packet));
    }

    pub(crate) fn due(&self) -> Option<Time> {
        self.packets.front().map(|(at, _)| *at)
    }

    fn take(&mut self, now: Time) -> Option<Packet> {
        self.packets.pop_front_if(|(at, _)| *at <= now).map(|(_, packet)| packet)
    }
}

/// One connection: a pipe each way.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u32,
    pub(crate) to_client: Pipe,
    pub(crate) to_relay: Pipe,
    pub(crate) delay: Duration,
    jitter: Duration,
    /// Packets until it breaks, counted in both directions.
    breaks_after: Option<u64>,
    /// How it breaks: half-open, that is silently, or with an end seen by each side.
    half_open: bool,
    pub(crate) broken: bool,
}

impl Connection {
    pub(crate) fn new(id: u32, random: &mut Random, faults: bool, slow: bool) -> Self {
        let breaks = faults && random.percent(60);
        let [to_client, to_relay] =
            [(); 2].map(|()| Pipe { line: slow.then(|| Line::new(random)), ..Pipe::default() });
        Connection {
            id,
            to_client,
            to_relay,
            delay: Duration::from_millis(random.between(1, 150)),
            jitter: Duration::from_millis(random.between(0, 100)),
            breaks_after: breaks.then(|| random.between(0, 60)),
            half_open: random.percent(30),
            broken: false,
        }
    }

    pub(crate) fn send_to_relay(&mut self, now: Time, packet: Packet, random: &mut Random) {
        if self.carries(now, random) {
            let at = self.to_relay.leaves(now, packet.bytes()) + self.travel(random);
            self.to_relay.push(at, packet);
        }
    }

    pub(crate) fn send_to_client(&mut self, now: Time, packet: Packet, random: &mut Random) {
        if self.carries(now, random) {
            let at = self.to_client.leaves(now, packet.bytes()) + self.travel(random);
            self.to_client.push(at, packet);
        }
    }

    /// Bytes that the client has sent and the line has not carried.
    pub(crate) fn unsent(&self, now: Time) -> usize {
        self.to_relay.unsent(now)
    }

    /// Cuts it now: what is on its way is lost, and each side learns of it in its own time, or never.
    pub(crate) fn cut(&mut self, now: Time, random: &mut Random) {
        if self.broken {
            return;
        }
        self.broken = true;
        // A random part of what is on its way still arrives.
        for pipe in [&mut self.to_client, &mut self.to_relay] {
            let keep = random.between(0, pipe.packets.len() as u64) as usize;
            pipe.packets.truncate(keep);
        }
        if !self.half_open {
            for pipe in [&mut self.to_client, &mut self.to_relay] {
                let at = now + Duration::from_millis(random.between(0, 3_000));
                pipe.push(at, Packet::Closed(1006));
            }
        }
    }

    /// When the next packet arrives, at either end.
    pub(crate) fn due(&self) -> Option<Time> {
        self.due_at_client().into_iter().chain(self.due_at_relay()).min()
    }

    pub(crate) fn due_at_client(&self) -> Option<Time> {
        self.to_client.due()
    }

    pub(crate) fn due_at_relay(&self) -> Option<Time> {
        self.to_relay.due()
    }

    pub(crate) fn arrived_at_client(&mut self, now: Time) -> Option<Packet> {
        self.to_client.take(now)
    }

    pub(crate) fn arrived_at_relay(&mut self, now: Time) -> Option<Packet> {
        self.to_relay.take(now)
    }

    fn travel(&self, random: &mut Random) -> Duration {
        self.delay + self.jitter * (random.between(0, 100) as u32) / 100
    }

    /// Counts a packet; the connection may break with it.
    fn carries(&mut self, now: Time, random: &mut Random) -> bool {
        match &mut self.breaks_after {
            Some(0) => self.cut(now, random),
            Some(left) => *left -= 1,
            None => {}
        }
        !self.broken
    }
}
