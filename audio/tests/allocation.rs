//! Nothing allocates after construction.
#![cfg(not(target_arch = "wasm32"))]

use allocation_counter::measure;
use audio::{
    Chunker, Hz, LevelMeter, PlayoutBuffer, Resampler, SPEECH_RATE, VoiceActivity, decode_s16le, encode_s16le,
};

#[test]
fn the_measurement_sees_an_allocation() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![0.0; 100]))).count_total, 1);
}

#[test]
fn the_way_up_from_microphone_to_bytes_allocates_nothing() {
    for rate in [48_000, 44_100, 44_101, 16_000, 8_000] {
        let mut resampler = Resampler::new(Hz(rate), SPEECH_RATE).expect("a supported rate");
        let mut chunker = Chunker::new(1_600);
        let mut meter = LevelMeter::new();
        let mut detector = VoiceActivity::default();
        // With the first sound it makes room for its network.
        detector.push(&[0.25; 256], |_| {});
        let input = vec![0.25; 5_000];
        let mut resampled = vec![0.0; resampler.max_output(input.len())];
        let mut bytes = vec![0; 3_200];
        let allocations = measure(|| {
            for block in [1, 128, 441, 5_000, 0].into_iter().cycle().take(200) {
                let written = resampler.process(&input[..block], &mut resampled);
                let speech = &resampled[..written];
                meter.push(speech);
                detector.push(speech, |_| {});
                chunker.push(speech, |chunk| assert_eq!(chunk.len(), 1_600));
                encode_s16le(speech, &mut bytes);
            }
            resampler.flush(&mut resampled);
            chunker.flush(|_| {});
            detector.flush(|_| {});
            meter.take();
        });
        assert_eq!(allocations.count_total, 0, "from {rate} Hz");
    }
}

#[test]
fn the_way_down_from_bytes_to_loudspeaker_allocates_nothing() {
    let bytes = [7; 960];
    let mut samples = [0.0; 480];
    let mut resampler = Resampler::new(Hz(24_000), Hz(48_000)).expect("supported rates");
    let mut resampled = vec![0.0; resampler.max_output(480)];
    let mut buffer = PlayoutBuffer::new(Hz(24_000), 200, 300);
    let mut out = [0.0; 441];
    let allocations = measure(|| {
        for chunk in 0..2_000_u64 {
            decode_s16le(&bytes, &mut samples);
            // A timeline that jumps at every chunk is the worst there is.
            buffer.push(chunk * 1_000, &samples);
            buffer.push(chunk * 1_000 + 700, &samples[..3]);
            if chunk % 300 == 0 {
                buffer.flush();
            }
            if chunk % 70 == 0 {
                buffer.end_of_reply();
            }
            let filled = buffer.pull(&mut out);
            resampler.process(&out[..filled], &mut resampled);
            std::hint::black_box(buffer.played_until());
        }
    });
    assert_eq!(allocations.count_total, 0);
    assert!(buffer.stats().dropped > 0, "the buffer was full, too");
}
