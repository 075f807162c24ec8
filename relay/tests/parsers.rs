//! What the fuzz targets do with bytes of strangers, with their seeds: that it compiles and holds is known in every run of the gate, and not only
//! when somebody fuzzes.

use std::path::Path;

#[path = "../../fuzz/parsers/access_token.rs"]
mod access_token;
#[path = "../../fuzz/parsers/chat_answer.rs"]
mod chat_answer;
#[path = "../../fuzz/parsers/client.rs"]
mod client;
#[path = "../../fuzz/parsers/client_message.rs"]
mod client_message;
#[path = "../../fuzz/parsers/config_file.rs"]
mod config_file;
#[path = "../../fuzz/parsers/cursor.rs"]
mod cursor;
#[path = "../../fuzz/parsers/forwarded_for.rs"]
mod forwarded_for;
#[path = "../../fuzz/parsers/frame_header.rs"]
mod frame_header;
#[path = "../../fuzz/parsers/http_body.rs"]
mod http_body;
#[path = "../../fuzz/parsers/key_set.rs"]
mod key_set;
#[path = "../../fuzz/parsers/link.rs"]
mod link;
#[path = "../../fuzz/parsers/origin.rs"]
mod origin;
#[path = "../../fuzz/parsers/relay_message.rs"]
mod relay_message;
#[path = "../../fuzz/parsers/speech_answer.rs"]
mod speech_answer;
#[path = "../../fuzz/parsers/tool_arguments.rs"]
mod tool_arguments;
#[path = "../../fuzz/parsers/wav_file.rs"]
mod wav_file;

type Parser = (&'static str, fn(&[u8]));

const PARSERS: [Parser; 16] = [
    ("access_token", access_token::run),
    ("chat_answer", chat_answer::run),
    ("client", client::run),
    ("client_message", client_message::run),
    ("config_file", config_file::run),
    ("cursor", cursor::run),
    ("forwarded_for", forwarded_for::run),
    ("frame_header", frame_header::run),
    ("http_body", http_body::run),
    ("key_set", key_set::run),
    ("link", link::run),
    ("origin", origin::run),
    ("relay_message", relay_message::run),
    ("speech_answer", speech_answer::run),
    ("tool_arguments", tool_arguments::run),
    ("wav_file", wav_file::run),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

#[test]
fn whatever_a_kind_of_provider_says_is_fuzzed() {
    let mut fuzzed: Vec<&str> = chat_answer::KINDS.to_vec();
    fuzzed.extend(speech_answer::KINDS.iter().map(|(kind, _)| kind));
    for kind in relay::provider::KIND_NAMES {
        assert!(
            fuzzed.contains(&kind),
            "{kind} is in neither fuzz/parsers/chat_answer.rs nor speech_answer.rs"
        );
    }
}

#[test]
fn every_seed_is_taken_whole_and_cut_short() {
    for (name, run) in PARSERS {
        let seeds = std::fs::read_dir(root().join("fuzz/seeds").join(name)).expect("a folder of seeds");
        let mut tried = 0;
        for seed in seeds {
            let seed = std::fs::read(seed.expect("read").path()).expect("read");
            for end in [seed.len(), seed.len() / 2, 3, 0] {
                run(&seed[..end.min(seed.len())]);
            }
            tried += 1;
        }
        assert!(tried > 0, "{name} has no seed");
    }
}

#[test]
fn every_target_is_among_them() {
    let targets = std::fs::read_dir(root().join("fuzz/fuzz_targets")).expect("there");
    let mut targets: Vec<String> = targets
        .map(|target| target.expect("read").path().file_stem().expect("a name").to_string_lossy().into())
        .collect();
    targets.sort();
    assert_eq!(targets, PARSERS.map(|(name, _)| name));
}
