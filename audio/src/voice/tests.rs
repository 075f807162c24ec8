//! Sounds and what they are taken for.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Attention, FRAME, TAKEN, TAKEN_ALONE, VoiceActivity, VoiceConfig, VoiceEvent};

const SECOND: usize = 16_000;

/// White noise of this level (RMS of full scale).
fn noise(dbfs: f32, seconds: f32, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    // Uniform noise in ±1 has an RMS of 1/sqrt(3).
    let amplitude = 10f32.powf(dbfs / 20.0) * 3f32.sqrt();
    (0..samples(seconds)).map(|_| amplitude * uniform()).collect()
}

/// Something like a voice of this level: a melody of 110 to 150 Hz that sings five vowels a second and swells with each.
fn speech(dbfs: f32, seconds: f32) -> Vec<f32> {
    /// The resonances of a mouth, in Hz.
    const VOWELS: [[f32; 3]; 5] = [
        [700.0, 1_200.0, 2_500.0],
        [300.0, 2_200.0, 3_000.0],
        [450.0, 1_900.0, 2_500.0],
        [350.0, 800.0, 2_300.0],
        [500.0, 1_500.0, 2_500.0],
    ];
    let turn = |cycles: f32| (std::f32::consts::TAU * cycles.fract()).sin();
    let mut cycles = 0.0;
    let mut voice: Vec<f32> = (0..samples(seconds))
        .map(|n| {
            let t = n as f32 / SECOND as f32;
            let pitch = 130.0 + 20.0 * turn(1.3 * t);
            cycles += pitch / SECOND as f32;
            let vowel = VOWELS[(t * 5.0) as usize % VOWELS.len()];
            let harmonic = |h: f32| {
                let loud: f32 = vowel.iter().map(|hz| 1.0 / (1.0 + ((h * pitch - hz) / 90.0).powi(2))).sum();
                turn(h * cycles) * (loud + 0.05) / h.sqrt()
            };
            let swell = 0.6 + 0.4 * turn(5.0 * t + 0.25);
            swell * (1..28).map(|h| harmonic(h as f32)).sum::<f32>()
        })
        .collect();
    let power = voice.iter().map(|sample| sample * sample).sum::<f32>() / voice.len() as f32;
    let gain = 10f32.powf(dbfs / 20.0) / power.sqrt();
    voice.iter_mut().for_each(|sample| *sample *= gain);
    voice
}

fn tone(hz: f32, dbfs: f32, seconds: f32) -> Vec<f32> {
    let amplitude = 10f32.powf(dbfs / 20.0) * 2f32.sqrt();
    (0..samples(seconds))
        .map(|n| amplitude * (std::f32::consts::TAU * (n as f32 * hz / SECOND as f32).fract()).sin())
        .collect()
}

fn samples(seconds: f32) -> usize {
    (seconds * SECOND as f32).round() as usize
}

/// `sound` added to `background` from this second on.
fn mixed(mut background: Vec<f32>, at: f32, sound: &[f32]) -> Vec<f32> {
    for (sample, sound) in background[samples(at)..].iter_mut().zip(sound) {
        *sample += sound;
    }
    background
}

fn events(stream: &[f32]) -> Vec<VoiceEvent> {
    let mut detector = VoiceActivity::default();
    let mut events = Vec::new();
    detector.push(stream, |event| events.push(event));
    detector.flush(|event| events.push(event));
    events
}

/// The spans of speech in seconds.
fn spans(stream: &[f32]) -> Vec<(f32, f32)> {
    let seconds = |at: u64| at as f32 / SECOND as f32;
    events(stream)
        .chunks(2)
        .map(|pair| match pair {
            [VoiceEvent::SpeechStarted { at: start }, VoiceEvent::SpeechEnded { at: end }] => {
                (seconds(*start), seconds(*end))
            }
            other => panic!("starts and ends do not alternate: {other:?}"),
        })
        .collect()
}

#[test]
fn silence_is_not_speech() {
    assert_eq!(spans(&vec![0.0; 10 * SECOND]), []);
}

#[test]
fn steady_noise_is_not_speech() {
    for dbfs in [-60.0, -50.0, -40.0] {
        assert_eq!(spans(&noise(dbfs, 20.0, 1)), [], "{dbfs} dBFS");
    }
}

#[test]
fn noise_that_begins_suddenly_is_not_speech() {
    assert_eq!(spans(&mixed(noise(-65.0, 12.0, 2), 5.0, &noise(-40.0, 7.0, 3))), []);
}

#[test]
fn hum_and_rumble_are_not_speech() {
    let quiet = noise(-65.0, 12.0, 4);
    for hz in [30.0, 50.0, 60.0] {
        assert_eq!(spans(&mixed(quiet.clone(), 4.0, &tone(hz, -25.0, 2.0))), [], "{hz} Hz");
    }
}

#[test]
fn speech_in_a_quiet_room_is_found_with_its_start_and_end() {
    let found = spans(&mixed(noise(-65.0, 8.0, 5), 3.0, &speech(-25.0, 2.0)));
    let [(start, end)] = found[..] else { panic!("{found:?}") };
    assert!((2.7..=3.0).contains(&start), "starts at {start} s, up to 200 ms before the sound at 3 s");
    assert!((4.9..=5.1).contains(&end), "ends at {end} s, with the sound at 5 s");
}

#[test]
fn speech_10_db_over_the_noise_is_found() {
    for seed in 6..16 {
        let voice = speech(-30.0, 2.0);
        let power = voice.iter().map(|x| x * x).sum::<f32>() / voice.len() as f32;
        let noise = noise(10.0 * power.log10() - 10.0, 10.0, seed);
        let found = spans(&mixed(noise, 5.0, &voice));
        let [(start, end)] = found[..] else { panic!("{found:?}") };
        assert!((4.7..=5.0).contains(&start) && (6.8..=7.1).contains(&end), "{start} to {end} s");
    }
}

#[test]
fn speech_from_the_first_sample_on_is_found() {
    let found = spans(&mixed(noise(-65.0, 6.0, 17), 0.0, &speech(-25.0, 2.0)));
    let [(start, end)] = found[..] else { panic!("{found:?}") };
    assert!(start < 0.1 && (1.9..=2.1).contains(&end), "{start} to {end} s");
}

#[test]
fn a_sound_shorter_than_the_shortest_word_is_a_click() {
    for milliseconds in [1.0, 5.0, 20.0, 60.0, 100.0, 115.0] {
        for offset in 0..8 {
            let at = 3.0 + offset as f32 * 0.0013;
            let click = noise(-10.0, milliseconds / 1_000.0, 18 + offset);
            let stream = mixed(noise(-60.0, 6.0, 19), at, &click);
            assert_eq!(spans(&stream), [], "{milliseconds} ms at {at} s");
        }
    }
}

#[test]
fn a_burst_of_typing_is_not_speech() {
    let mut stream = noise(-60.0, 8.0, 20);
    for key in 0..20 {
        stream = mixed(stream, 3.0 + key as f32 * 0.07, &noise(-15.0, 0.008, 21 + key));
    }
    assert_eq!(spans(&stream), []);
}

#[test]
fn a_pause_of_300_ms_does_not_end_a_sentence_and_one_of_800_does() {
    for (pause, sentences) in [(0.3, 1), (0.8, 2)] {
        let first = mixed(noise(-60.0, 9.0, 41), 3.0, &speech(-25.0, 1.0));
        let both = mixed(first, 4.0 + pause, &speech(-25.0, 1.0));
        assert_eq!(spans(&both).len(), sentences, "a pause of {pause} s");
    }
}

#[test]
fn the_pre_roll_never_reaches_into_the_speech_before() {
    let config = VoiceConfig { pre_roll_ms: 2_000, ..VoiceConfig::default() };
    let first = mixed(noise(-60.0, 9.0, 42), 3.0, &speech(-25.0, 1.0));
    let stream = mixed(first, 5.0, &speech(-25.0, 1.0));
    let mut detector = VoiceActivity::new(config);
    let mut events = Vec::new();
    detector.push(&stream, |event| events.push(event));
    let [
        VoiceEvent::SpeechStarted { .. },
        VoiceEvent::SpeechEnded { at: end },
        VoiceEvent::SpeechStarted { at: start },
        VoiceEvent::SpeechEnded { .. },
    ] = events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(start, end);
}

#[test]
fn no_speech_starts_before_the_earliest_place_and_that_is_near_while_nothing_is_heard() {
    for (room, dbfs) in [(-65.0, -25.0), (-45.0, -35.0), (-35.0, -32.0), (-30.0, -28.0)] {
        for pre_roll_ms in [200, 2_000] {
            let mut stream = noise(room, 14.0, 55);
            for (at, seconds) in [(0.0, 0.3), (3.0, 1.0), (4.7, 0.5), (6.0, 0.09), (6.4, 0.2), (9.0, 2.5)] {
                stream = mixed(stream, at, &speech(dbfs, seconds));
            }
            let config = VoiceConfig { pre_roll_ms, ..VoiceConfig::default() };
            let near = u64::from(pre_roll_ms) * 16 + 2 * FRAME as u64;
            let mut detector = VoiceActivity::new(config);
            let (mut earliest, mut starts, mut near_for) = (0, 0, 0);
            for (number, samples) in stream.chunks(160).enumerate() {
                match number % 150 {
                    40 => detector.attend(Attention::Close),
                    80 => detector.attend(Attention::Awake),
                    130 if number > 700 => detector.flush(|_| {}),
                    _ => {}
                }
                detector.push(samples, |event| {
                    if let VoiceEvent::SpeechStarted { at } = event {
                        assert!(at >= earliest, "{at} before {earliest}, {room} dBFS");
                        starts += 1;
                    }
                });
                assert!(detector.earliest_start() >= earliest, "it only rises");
                earliest = detector.earliest_start();
                assert!(earliest <= detector.position());
                near_for += u32::from(detector.position() - earliest <= near);
            }
            assert!(starts >= 3, "{starts} times, {room} dBFS");
            assert!(near_for >= 700, "for {near_for} of 1,400 pieces, {room} dBFS");
        }
    }
}

#[test]
fn what_is_no_number_does_not_deafen_the_detector() {
    let mut stream = mixed(noise(-65.0, 8.0, 43), 3.0, &speech(-25.0, 2.0));
    stream[100] = f32::NAN;
    stream[200] = f32::INFINITY;
    assert_eq!(spans(&stream).len(), 1);
}

#[test]
fn i16_and_f32_are_heard_alike() {
    let stream = mixed(noise(-60.0, 6.0, 44), 2.0, &speech(-25.0, 2.0));
    let integers: Vec<i16> = stream.iter().map(|&sample| crate::f32_to_i16(sample)).collect();
    let floats: Vec<f32> = integers.iter().map(|&sample| crate::i16_to_f32(sample)).collect();
    let mut detector = VoiceActivity::default();
    let mut heard = Vec::new();
    detector.push_i16(&integers, |event| heard.push(event));
    detector.flush(|event| heard.push(event));
    assert_eq!(heard, events(&floats));
    assert_eq!(heard.len(), 2);
}

#[test]
fn how_the_stream_is_cut_changes_nothing() {
    let background = mixed(noise(-70.0, 6.0, 1), 1.0, &speech(-20.0, 1.2));
    let stream = mixed(mixed(background, 3.0, &noise(-55.0, 1.0, 2)), 4.3, &speech(-30.0, 0.8));
    let whole = events(&stream);
    assert!(whole.len() >= 4, "{whole:?}");
    for piece in [1, 7, 79, 80, 81, 160, 333, 1_600] {
        let mut detector = VoiceActivity::default();
        let mut cut = Vec::new();
        for samples in stream.chunks(piece) {
            detector.push(samples, |event| cut.push(event));
        }
        detector.flush(|event| cut.push(event));
        assert_eq!(cut, whole, "pieces of {piece}");
        assert_eq!(detector.position(), stream.len() as u64);
    }
}

#[test]
fn the_network_is_asked_only_about_what_stands_out_from_the_room() {
    let mut detector = VoiceActivity::default();
    let mut asked = |attention, stream: &[f32]| {
        detector.attend(attention);
        detector.push(stream, |_| {});
        detector.listener.take().is_some()
    };
    assert!(!asked(Attention::Close, &noise(-65.0, 1.0, 45)), "silence is nothing to listen to");
    assert!(asked(Attention::Awake, &noise(-40.0, 4.0, 46)), "nothing is known of a room at first");
    assert!(!asked(Attention::Awake, &noise(-40.0, 6.0, 47)), "steady noise is the room");
    assert!(asked(Attention::Close, &noise(-40.0, 0.1, 48)), "close is close");
    assert!(asked(Attention::Awake, &noise(-30.0, 0.1, 49)), "what is louder stands out");
    assert!(!asked(Attention::Away, &speech(-20.0, 1.0)), "who is away listens to nothing");
}

#[test]
fn who_was_away_knows_the_room_and_finds_what_is_said_from_then_on() {
    let stream = mixed(noise(-45.0, 10.0, 50), 4.0, &speech(-20.0, 4.0));
    let mut detector = VoiceActivity::default();
    let mut events = Vec::new();
    let (before, after) = stream.split_at(samples(6.0));
    detector.attend(Attention::Away);
    detector.push(before, |event| events.push(event));
    assert_eq!(events, []);
    detector.attend(Attention::Close);
    detector.push(&after[..samples(1.0)], |event| events.push(event));
    let [VoiceEvent::SpeechStarted { at }] = events[..] else { panic!("{events:?}") };
    assert!((samples(5.7)..=samples(6.2)).contains(&(at as usize)), "{at}");
    assert!(detector.is_speaking());
    detector.attend(Attention::Away);
    assert!(!detector.is_speaking());
    detector.push(&after[samples(1.0)..], |event| events.push(event));
    assert_eq!(events.len(), 1, "who is away hears no end either");
}

#[test]
fn a_stream_that_begins_anew_is_heard_like_the_first() {
    let stream = mixed(noise(-60.0, 8.0, 51), 3.0, &speech(-25.0, 2.0));
    let mut detector = VoiceActivity::default();
    let mut heard: [Vec<VoiceEvent>; 2] = Default::default();
    for heard in &mut heard {
        detector.reset();
        detector.push(&stream, |event| heard.push(event));
    }
    assert_eq!(heard[0].len(), 2);
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn the_network_is_asked_seldom_while_it_is_sure_of_a_voice_and_at_once_when_that_falls_silent() {
    let mut detector = VoiceActivity::default();
    let mut asked = |stream: &[f32]| {
        let frames = stream.chunks_exact(FRAME);
        let taken_for_more = frames.clone().filter(|frame| {
            detector.push(frame, |_| {});
            detector.taken > 0
        });
        frames.len() - taken_for_more.count()
    };
    assert_eq!(asked(&noise(-50.0, 4.096, 52)), 256);
    let of_voice = asked(&speech(-20.0, 2.048));
    assert!(of_voice < 85, "{of_voice} of 128");
    // The step from the one to the other stands out.
    assert!(asked(&noise(-50.0, 0.512, 53)) >= 31);
}

#[test]
fn a_voice_that_drowns_the_room_is_taken_for_more_of_it_for_longer() {
    let [in_quiet, in_noise] = [-65.0, -38.0].map(|room| {
        let mut detector = VoiceActivity::default();
        let stream = mixed(noise(room, 12.0, 54), 4.0, &speech(-20.0, 8.0));
        let taken = stream.chunks_exact(FRAME).map(|frame| {
            detector.push(frame, |_| {});
            detector.taken
        });
        taken.max().unwrap_or(0)
    });
    assert!(in_noise > 0 && in_noise <= TAKEN, "{in_noise} frames");
    assert!(in_quiet > TAKEN && in_quiet <= TAKEN_ALONE, "{in_quiet} frames");
}
