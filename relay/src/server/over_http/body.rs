//! The body of a request that brings messages up: the number of the request, and the messages one after another (docs/protocol.md).

use bytes::{Buf, Bytes};

/// How many bytes the number of a request has.
const NUMBER_BYTES: usize = 4;
/// How many bytes stand before each message: its kind and its length.
const RECORD_HEAD_BYTES: usize = 5;
/// The kinds of messages, which are the opcodes of WebSocket frames (RFC 6455, 5.2).
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// How many bytes a body has beyond the bytes of a message that is alone in it.
pub const ROUND_ONE_MESSAGE_BYTES: usize = NUMBER_BYTES + RECORD_HEAD_BYTES;

/// What a request brings: a body whose framing was checked, without what was taken out of it. Nothing of it is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    number: u32,
    records: Bytes,
}

/// A message of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A text message, which may not be UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// The client closes the connection.
    Close,
}

/// The error of a body that is not a number and whole messages of kinds that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a number and whole messages")]
pub struct Malformed;

impl Brought {
    /// Reads a body.
    ///
    /// # Errors
    /// When any part of it is not as it has to be. None of its messages counts then.
    pub fn parse(mut body: Bytes) -> Result<Brought, Malformed> {
        let number = body.try_get_u32_le().map_err(|_| Malformed)?;
        let mut rest = body.clone();
        while !rest.is_empty() {
            take(&mut rest)?;
        }
        Ok(Brought { number, records: body })
    }

    /// The number of the request.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether every message was taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Iterator for Brought {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        take(&mut self.records).ok()
    }
}

/// Takes the first message out of these bytes.
fn take(bytes: &mut Bytes) -> Result<Record, Malformed> {
    let kind = bytes.try_get_u8().map_err(|_| Malformed)?;
    let length = bytes.try_get_u32_le().map_err(|_| Malformed)?;
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    if length > bytes.len() {
        return Err(Malformed);
    }
    let payload = bytes.split_to(length);
    match kind {
        TEXT => Ok(Record::Text(payload)),
        BINARY => Ok(Record::Binary(payload)),
        CLOSE => Ok(Record::Close),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body with this number and these messages.
    fn body(number: u32, records: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = number.to_le_bytes().to_vec();
        for (kind, payload) in records {
            body.push(*kind);
            body.extend((payload.len() as u32).to_le_bytes());
            body.extend(*payload);
        }
        body
    }

    fn parse(body: &[u8]) -> Result<Brought, Malformed> {
        Brought::parse(Bytes::copy_from_slice(body))
    }

    #[test]
    fn messages_are_taken_out_in_their_order() {
        let mut brought = parse(&body(7, &[(TEXT, b"{}"), (BINARY, &[1, 2, 3]), (TEXT, b""), (CLOSE, b"")]))
            .expect("whole");
        assert_eq!(brought.number(), 7);
        let records: Vec<Record> = brought.by_ref().collect();
        let (text, binary) = (Bytes::from_static(b"{}"), Bytes::from_static(&[1, 2, 3]));
        let expected =
            [Record::Text(text), Record::Binary(binary), Record::Text(Bytes::new()), Record::Close];
        assert_eq!(records, expected);
        assert!(brought.is_empty());
        assert!(parse(&body(0, &[])).expect("a number is enough").is_empty());
    }

    #[test]
    fn a_body_that_is_cut_off_anywhere_or_has_another_kind_brings_nothing() {
        let whole = body(1, &[(TEXT, b"{}"), (BINARY, &[9; 20])]);
        let between = [NUMBER_BYTES, NUMBER_BYTES + RECORD_HEAD_BYTES + 2, whole.len()];
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).is_ok(), between.contains(&end), "cut at {end}");
        }
        for kind in [0, 3, 7, 9, 255] {
            assert_eq!(parse(&body(1, &[(TEXT, b"{}"), (kind, b"")])), Err(Malformed), "{kind}");
        }
        let mut promises = whole;
        promises[NUMBER_BYTES + 1..NUMBER_BYTES + 5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse(&promises), Err(Malformed));
    }
}
