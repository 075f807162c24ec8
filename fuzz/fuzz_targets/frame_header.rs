//! The header of an audio frame: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{AudioHeader, HEADER_LEN};

fuzz_target!(|frame: &[u8]| {
    let Some((header, payload)) = AudioHeader::parse(frame) else { return };
    assert_eq!(payload.len(), frame.len() - HEADER_LEN);
    if let Some(codec) = header.codec {
        let mut again = Vec::new();
        AudioHeader::write(codec, header.seq, header.position, &mut again);
        AudioHeader::set_samples(&mut again, header.samples.into());
        again.extend_from_slice(payload);
        assert_eq!(again, frame);
    }
});
