//! WebSocket frames as bytes (RFC 6455, section 5.2), so that a test can send those that no library makes.

/// The first byte of a whole text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a whole binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a message's last part.
pub const LAST_PART: u8 = 0x80;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8A;
/// Of the first byte, the bit that says that a message ends here.
pub const FIN: u8 = 0x80;

/// What clients have to mask their frames with; any will do.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame of a client.
#[must_use]
pub fn wire(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = head(first, 0x80, payload.len() as u64);
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame of a client that forgot to mask it.
#[must_use]
pub fn unmasked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = head(first, 0, payload.len() as u64);
    bytes.extend(payload);
    bytes
}

/// The beginning of a frame that claims to be this long.
#[must_use]
pub fn promise(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = head(first, 0x80, length);
    bytes.extend(MASK);
    bytes
}

/// A whole text message.
#[must_use]
pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    wire(TEXT, text)
}

/// A whole binary message.
#[must_use]
pub fn binary(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    wire(BINARY, bytes)
}

fn head(first: u8, mask: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xFFFF => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}
