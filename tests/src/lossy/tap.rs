//! What has come through the link, read from the packets themselves: neither end is asked, so both are measured alike.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::{AudioHeader, ClientMessage};
use tokio::time::Instant;

/// A chunk that has come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The token of the connection's first message.
    pub token: Arc<str>,
    /// Where the chunk begins, in samples.
    pub position: u32,
    /// How long it is.
    pub samples: u32,
    /// When its last byte was here, and every byte of its connection before it.
    pub at: Instant,
}

/// Follows every WebSocket that clients of the far end have open to this machine. Clones are the same tap.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By the client's port and the server's: a client may use one port for several servers.
    streams: HashMap<[u16; 2], Stream>,
    arrivals: Vec<Arrival>,
}

impl Tap {
    /// Everything that has come so far, in order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).arrivals.clone()
    }

    /// A packet of IPv4 is handed to this machine.
    pub(super) fn saw(&self, at: Instant, packet: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { streams, arrivals } = &mut *state;
        let Some(segment) = Segment::parse(packet) else { return };
        if segment.begins {
            streams.insert(segment.ports, Stream::new(segment.seq.wrapping_add(1)));
        } else if let Some(stream) = streams.get_mut(&segment.ports) {
            stream.take(segment.seq, segment.payload);
            stream.read(at, arrivals);
        }
    }
}

/// A segment of TCP.
struct Segment<'a> {
    /// The sender's port and the receiver's.
    ports: [u16; 2],
    seq: u32,
    /// The connection begins with it.
    begins: bool,
    payload: &'a [u8],
}

impl Segment<'_> {
    fn parse(packet: &[u8]) -> Option<Segment<'_>> {
        const TCP: u8 = 6;
        const SYN: u8 = 2;
        let (version, head) = (packet.first()? >> 4, usize::from(packet.first()? & 15) * 4);
        let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
        let segment = packet.get(head..total)?;
        let port = |at| segment.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
        if version != 4 || packet.get(9) != Some(&TCP) {
            return None;
        }
        Some(Segment {
            ports: [port(0)?, port(2)?],
            seq: u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?),
            begins: segment.get(13)? & SYN != 0,
            payload: segment.get(usize::from(segment.get(12)? >> 4) * 4..)?,
        })
    }
}

/// A connection's bytes, in order.
#[derive(Debug)]
struct Stream {
    first: u32,
    /// How many bytes have come in order.
    through: u64,
    /// What came before something that is missing, by its place.
    early: BTreeMap<u64, Vec<u8>>,
    /// What came in order and is not read yet.
    unread: Vec<u8>,
    /// The HTTP request is over.
    is_upgraded: bool,
    token: Arc<str>,
}

impl Stream {
    fn new(first: u32) -> Stream {
        Stream {
            first,
            through: 0,
            early: BTreeMap::new(),
            unread: Vec::new(),
            is_upgraded: false,
            token: "".into(),
        }
    }

    fn take(&mut self, seq: u32, payload: &[u8]) {
        // A call is far shorter than the 4 GiB after which numbers repeat.
        let place = u64::from(seq.wrapping_sub(self.first));
        let known = self.early.entry(place).or_default();
        if payload.len() > known.len() {
            *known = payload.to_vec();
        }
        while let Some((place, bytes)) = self.early.pop_first() {
            if place > self.through {
                self.early.insert(place, bytes);
                break;
            }
            let new = bytes.get((self.through - place) as usize..).unwrap_or_default();
            self.unread.extend_from_slice(new);
            self.through += new.len() as u64;
        }
    }

    fn read(&mut self, at: Instant, arrivals: &mut Vec<Arrival>) {
        if !self.is_upgraded {
            let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            self.unread.drain(..end + 4);
            self.is_upgraded = true;
        }
        while let Some((opcode, payload, length)) = frame(&self.unread) {
            self.unread.drain(..length);
            match opcode {
                1 if self.token.is_empty() => {
                    if let Ok(ClientMessage::Hello(hello)) =
                        ClientMessage::parse(&String::from_utf8_lossy(&payload))
                    {
                        self.token = hello.token.into();
                    }
                }
                2 => {
                    if let Some((header, samples)) = AudioHeader::parse(&payload) {
                        let samples = header.codec.map_or(0, |codec| codec.samples(samples.len()));
                        let (token, position) = (self.token.clone(), header.position);
                        arrivals.push(Arrival { token, position, samples, at });
                    }
                }
                _ => {}
            }
        }
    }
}

/// The first whole frame of a client: its opcode, its payload, and its length in all.
fn frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (short, mut head) = (usize::from(bytes.get(1)? & 0x7F), 2);
    let length = match short {
        126 => {
            head += 2;
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))
        }
        127 => {
            head += 8;
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize
        }
        short => short,
    };
    let mask = bytes.get(head..head + 4)?;
    let payload = bytes.get(head + 4..head + 4 + length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((bytes[0] & 15, payload, head + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_order_whatever_order_and_however_often_they_come() {
        let mut stream = Stream::new(u32::MAX - 1);
        for (place, bytes) in [(6, "gh"), (0, "ab"), (0, "abc"), (4, "efgh"), (2, "cd"), (0, "abcdef")] {
            stream.take((u32::MAX - 1).wrapping_add(place), bytes.as_bytes());
        }
        assert_eq!(String::from_utf8_lossy(&stream.unread), "abcdefgh");
    }

    #[test]
    fn a_masked_frame_is_read_when_it_is_whole() {
        let masked = [0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, 0x81];
        assert_eq!(frame(&masked), Some((2, b"abc".to_vec(), 9)));
        assert_eq!(frame(&masked[..8]), None);
    }
}
