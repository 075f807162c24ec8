//! The header of an audio frame: what is read is written the same.

use protocol::{AudioHeader, HEADER_LEN};

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(frame: &[u8]) {
    let Some((header, payload)) = AudioHeader::parse(frame) else { return };
    assert_eq!(payload.len(), frame.len() - HEADER_LEN);
    if let Some(codec) = header.codec {
        let mut again = Vec::new();
        AudioHeader::write(codec, header.seq, header.position, &mut again);
        AudioHeader::set_samples(&mut again, header.samples.into());
        again.extend_from_slice(payload);
        assert_eq!(again, frame);
    }
}
