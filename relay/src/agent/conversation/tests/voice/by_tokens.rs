//! Voices and recognisers that are billed by tokens, and do not tell how many they have used.

use super::*;

/// What a request has used, and whether that is an estimate.
fn spent(did: &[AgentOutput], whose: RequestId) -> (Quantity, bool) {
    let spent = did.iter().find_map(|did| match did {
        AgentOutput::Spent { request, used, estimated, .. } if *request == whose => {
            used.map(|used| (used, *estimated))
        }
        _ => None,
    });
    spent.unwrap_or_else(|| panic!("it has used nothing: {did:?}"))
}

#[test]
fn a_voice_is_taken_to_have_used_a_token_for_four_bytes_and_twenty_for_a_second() {
    let ears = skills(Service::SpeechToText, true, Billing::Stream);
    let mouth = skills(Service::TextToSpeech, false, Billing::Tokens);
    let team = Team {
        recognisers: vec![(EARS, ears)],
        models: vec![MIND],
        voices: vec![(MOUTH, mouth)],
        ..Team::default()
    };
    let persona = Persona { max_output_tokens: 100, ..Persona::default() };
    let mut talk = Talk::of(Conversation::new(persona, team, 24_000, 0, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let did = talk.thinks(mind, "A sentence. Another.");
    let (mouth, ask) = ask_of(&did, MOUTH);
    assert_eq!(spoken(&ask).len(), 11);
    // Four for each character, and a few.
    assert_eq!(at_most_of(&did, mouth), AtMost::Tokens { prompt: 11 + 16, output: 44 + 16 });
    // A tenth of a second and a sample.
    talk.sounds(mouth, 2_401);
    let used = TokenUsage { input: 3, audio_output: 3, ..TokenUsage::default() };
    assert_eq!(spent(&talk.finishes(mouth), mouth), (Quantity::Tokens(used), true));
}

#[test]
fn a_recogniser_is_taken_to_have_used_twenty_tokens_for_a_second_of_each_utterance() {
    let ears = skills(Service::SpeechToText, false, Billing::Tokens);
    let team = Team { recognisers: vec![(EARS, ears)], models: vec![MIND], ..Team::default() };
    let mut talk = Talk::of(Conversation::new(Persona::default(), team, 24_000, 0, &[]));
    let voice = voice(24_000);
    let scene = [vec![0; 24_000], voice, vec![0; 24_000]].concat();
    let mut did = Vec::new();
    for (chunk, samples) in scene.chunks(1_600).enumerate() {
        did.extend(talk.input(AgentInput::Audio { position: chunk as u32 * 1_600, samples }));
    }
    let (request, Ask::Transcribe(samples)) = ask_of(&did, EARS) else { panic!("{did:?}") };
    let length = samples.len() as u64;
    let tokens = length / 800 + 64;
    assert_eq!(at_most_of(&did, request), AtMost::Tokens { prompt: tokens, output: tokens });
    talk.hears(request, "Hello there.", (0, length as u32), true);
    let used = TokenUsage { audio_input: length.div_ceil(800), ..TokenUsage::default() };
    assert_eq!(spent(&talk.finishes(request), request), (Quantity::Tokens(used), true));
}

#[test]
fn of_two_recognisers_that_are_billed_by_tokens_the_user_pays_the_one_that_understands() {
    let ears = skills(Service::SpeechToText, false, Billing::Tokens);
    let team =
        Team { recognisers: vec![(EARS, ears), (OTHER_EARS, ears)], models: vec![MIND], ..Team::default() };
    let mut talk = Talk::of(Conversation::new(Persona::default(), team, 24_000, 0, &[]));
    let scene = [vec![0; 24_000], voice(24_000), vec![0; 24_000]].concat();
    let did: Vec<AgentOutput> = scene.chunks(1_600).flat_map(|samples| talk.hear(samples)).collect();
    let (first, Ask::Transcribe(samples)) = ask_of(&did, EARS) else { panic!("{did:?}") };
    let audio_input = (samples.len() as u64).div_ceil(800);
    let used = TokenUsage { audio_input, ..TokenUsage::default() };
    let did = talk.fails(first, FailureKind::Timeout);
    assert_eq!(spent(&did, first), (Quantity::RepeatedTokens(used), true));
    let second = ask_of(&did, OTHER_EARS).0;
    talk.hears(second, "Hello there.", (0, samples.len() as u32), true);
    assert_eq!(spent(&talk.finishes(second), second), (Quantity::Tokens(used), true));
}
