//! The header of an audio frame.

use proptest::prelude::*;
use protocol::{AudioHeader, Codec, HEADER_LEN};

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #![proptest_config(super::config(1_000, "proptest-regressions/frame.txt"))]

    #[test]
    fn whatever_was_written_is_read(
        codec in any_codec(),
        seq: u32,
        position: u32,
        samples: u32,
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut frame = Vec::new();
        AudioHeader::write(codec, seq, position, &mut frame);
        AudioHeader::set_samples(&mut frame, samples);
        frame.extend_from_slice(&payload);
        let (header, read) = AudioHeader::parse(&frame).expect("just written");
        let samples = u16::try_from(samples).unwrap_or(0);
        prop_assert_eq!(header, AudioHeader { codec: Some(codec), seq, position, samples });
        prop_assert_eq!(read, &payload[..]);
    }

    #[test]
    fn whatever_is_read_is_written_the_same(
        kind in 0_u8..3,
        codec in 0_u8..4,
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let frame: Vec<u8> = [kind, codec].into_iter().chain(rest).collect();
        let parsed = AudioHeader::parse(&frame);
        prop_assert_eq!(parsed.is_some(), kind == 1 && frame.len() >= HEADER_LEN);
        if let Some((AudioHeader { codec: Some(codec), seq, position, samples }, payload)) = parsed {
            let mut again = Vec::new();
            AudioHeader::write(codec, seq, position, &mut again);
            AudioHeader::set_samples(&mut again, samples.into());
            again.extend_from_slice(payload);
            prop_assert_eq!(again, frame);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(mut frame in proptest::collection::vec(any::<u8>(), 0..32), samples: u32) {
        let _ = AudioHeader::parse(&frame);
        let length = frame.len();
        AudioHeader::set_samples(&mut frame, samples);
        prop_assert_eq!(frame.len(), length);
    }
}
