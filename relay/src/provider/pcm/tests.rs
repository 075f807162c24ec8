use super::*;

/// A WAV file of the header's fields and these bytes.
fn file(format: u16, channels: u16, rate: u32, bits: u16, length: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
    file.extend(format.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(channels * bits / 8)).to_le_bytes());
    file.extend((channels * bits / 8).to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

/// The rate and the samples of a file that is cut into pieces of this many bytes.
fn read(file: &[u8], piece: usize) -> Result<(u32, Vec<i16>), Failure> {
    let mut wav = Wav::new();
    let (mut rate, mut samples) = (0, Vec::new());
    for bytes in file.chunks(piece) {
        if let Some(Event::Sound(sound)) = wav.read(bytes)? {
            rate = sound.rate;
            samples.extend(sound.samples);
        }
    }
    Ok((rate, samples))
}

#[test]
fn a_file_is_the_same_sound_however_it_is_cut() {
    let data = [1, 0, 3, 0, 255, 255, 255, 127];
    for piece in 1..80 {
        let mono = file(1, 1, 22_050, 16, 8, &data);
        assert_eq!(read(&mono, piece), Ok((22_050, vec![1, 3, -1, 32_767])), "pieces of {piece}");
        let stereo = file(0xFFFE, 2, 48_000, 16, 8, &data);
        assert_eq!(read(&stereo, piece), Ok((48_000, vec![2, 16_383])), "pieces of {piece}");
    }
}

#[test]
fn a_file_that_does_not_know_its_length_is_read_to_its_end_and_one_that_does_no_further() {
    let data = [1, 0, 2, 0, b'L', b'I', b'S', b'T'];
    for (length, count) in [(0, 4), (0x7FFF_F000, 4), (u32::MAX, 4), (4, 2), (8, 4), (1_000, 4)] {
        let (_, samples) = read(&file(1, 1, 16_000, 16, length, &data), 5).expect("a file");
        assert_eq!(samples.len(), count, "length {length}");
    }
}

#[test]
fn a_file_is_short_that_knows_of_more_samples_than_have_come() {
    let data = [1, 0, 2, 0, 3, 0, 4, 0];
    for (length, is_short) in [
        (4, false),
        (8, false),
        (9, true),
        (1_000, true),
        (0, false),
        (2_000_000_000, false),
        (0x7FFF_0000, false),
        (0x7FFF_F000, false),
        (u32::MAX, false),
    ] {
        let mut wav = Wav::new();
        assert!(!wav.is_short(), "nothing is known of it");
        wav.read(&file(1, 1, 16_000, 16, length, &data)).expect("a file");
        assert_eq!(wav.is_short(), is_short, "length {length}");
    }
}

/// A WAV file that is written by somebody else's hand.
fn written<T: hound::Sample + Copy>(bits: u16, format: hound::SampleFormat, samples: &[T]) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 44_100, bits_per_sample: bits, sample_format: format };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory");
    for sample in samples {
        writer.write_sample(*sample).expect("memory");
    }
    writer.finalize().expect("memory");
    file.into_inner()
}

#[test]
fn whole_numbers_of_more_bits_and_numbers_with_a_fraction_are_the_same_sound() {
    use hound::SampleFormat::{Float, Int};
    let samples = [0, 1, -1, 12_345, -32_768, 32_767];
    let wider = |by: u32| samples.map(|sample| i32::from(sample) << by);
    let fractions = samples.map(|sample: i16| f32::from(sample) / 32_768.0);
    for (what, file) in [
        ("24 bits", written(24, Int, &wider(8))),
        ("32 bits", written(32, Int, &wider(16))),
        ("float", written(32, Float, &fractions)),
    ] {
        for piece in 1..80 {
            assert_eq!(read(&file, piece), Ok((44_100, samples.to_vec())), "{what} in pieces of {piece}");
        }
    }
    let beyond = [2.0, -2.0, f32::NAN, f32::INFINITY].map(f32::to_le_bytes).concat();
    let loud = read(&file(3, 1, 8_000, 32, 16, &beyond), 5);
    assert_eq!(loud, Ok((8_000, vec![32_767, -32_768, 0, 32_767])));
    // Both channels of a frame.
    let stereo = [0.5_f32, -0.25].map(f32::to_le_bytes).concat();
    assert_eq!(read(&file(3, 2, 48_000, 32, 8, &stereo), 3), Ok((48_000, vec![4_096])));
}

#[test]
fn what_is_no_sound_of_such_samples_is_refused_with_words() {
    let mut without_format = b"RIFF\0\0\0\0WAVEdata\x04\0\0\0".to_vec();
    without_format.extend([1, 0, 2, 0]);
    let mut long = b"RIFF\0\0\0\0WAVE".to_vec();
    long.extend(b"junk\xff\xff\xff\xff");
    let many_chunks = [&b"RIFF\0\0\0\0WAVE"[..], &b"junk\0\0\0\0".repeat(10_000)].concat();
    for (bad, words) in [
        (file(3, 1, 24_000, 16, 4, &[]), "format 3"),
        (file(3, 1, 24_000, 64, 4, &[]), "64 bits"),
        (file(7, 1, 24_000, 16, 4, &[]), "format 7"),
        (file(1, 6, 24_000, 16, 4, &[]), "6 channels"),
        (file(1, 0, 24_000, 16, 4, &[]), "0 channels"),
        (file(1, 1, 24_000, 8, 4, &[]), "8 bits"),
        (file(1, 1, 0, 16, 4, &[]), "0 Hz"),
        (file(1, 1, 1_000_000, 16, 4, &[]), "1000000 Hz"),
        (b"RIFX00000000".to_vec(), "no WAV file"),
        (without_format, "does not say"),
        (long, "too long"),
        (many_chunks, "header"),
    ] {
        for piece in [1, 7, 100_000] {
            let failure = read(&bad, piece).expect_err(words);
            assert_eq!(failure.kind, FailureKind::Provider);
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}

#[test]
fn half_a_sample_waits_for_its_other_half() {
    let mut pcm = Pcm::mono(24_000);
    assert_eq!(pcm.read(&[1]), None);
    let sound = Sound { rate: 24_000, samples: vec![0x0201] };
    assert_eq!(pcm.read(&[2, 3]), Some(Event::Sound(sound)));
    assert_eq!(pcm.told_ms(), 0);
    pcm.read(&[0; 4_799]);
    assert_eq!(pcm.told_ms(), 100);
}
