//! Voices that Flite and eSpeak NG have, and the agent that speaks with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;
use super::set::hash;
use super::sound::{levelled, read};

/// Programs, their voices, and what each is called here.
const VOICES: [(&str, &str, &str); 7] = [
    ("flite", "slt", "flite slt"),
    ("flite", "rms", "flite rms"),
    ("flite", "awb", "flite awb"),
    ("flite", "kal16", "flite kal16"),
    ("espeak-ng", "en-us", "espeak en-us"),
    ("espeak-ng", "en-gb-scotland+f3", "espeak scotland+f3"),
    ("espeak-ng", "en-gb+f5", "espeak en-gb+f5"),
];
/// How loud the agent speaks, in dB of full scale.
const AGENT: f32 = -20.0;
/// What it says, of a length that nobody waits for the end of.
const ANSWER: &[&str] = &[
    "Your table is booked for Thursday evening at half past eight, by the window, for four people.",
    "The kitchen closes at eleven, and on weekends there is live music from nine until midnight.",
    "If you come by car, you can park behind the house, which costs three euros for the whole night.",
    "Our cook recommends the mushroom soup, the trout with almonds, and a pear tart afterwards.",
    "Children have a menu of their own, and dogs are welcome in the garden but not in the large room.",
    "Should anything change, please call us before noon, so that somebody else can have your table.",
];

/// The names of the voices here.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    VOICES.iter().map(|(.., name)| *name)
}

/// These words in this voice, which may be one of another language of eSpeak NG. Kept beside the recordings.
pub(crate) fn say(recordings: &Path, name: &str, text: &str) -> Outcome<Vec<f32>> {
    let known = VOICES.iter().find(|(.., known)| *known == name);
    let (program, voice) = known.map_or(("espeak-ng", name), |(program, voice, _)| (*program, *voice));
    let folder = recordings.join("spoken");
    fs::create_dir_all(&folder)?;
    let path: PathBuf = folder.join(format!("{:016x}.wav", hash(&format!("{program} {voice} {text}"))));
    if !path.exists() {
        let made = path.with_extension("new");
        let mut command = Command::new(program);
        match program {
            "flite" => command.args(["-voice", voice, "-t", text, "-o"]).arg(&made),
            _ => command.args(["-v", voice, "-w"]).arg(&made).args(["--", text]),
        };
        let status =
            command.status().map_err(|error| format!("{program} (apt install {program}): {error}"))?;
        if !status.success() {
            return Err(format!("{program} cannot say that as {voice}").into());
        }
        fs::rename(made, &path)?;
    }
    read(&path)
}

/// How the agent sounds, by sentence, in several voices.
pub(crate) struct Agent(Vec<BTreeMap<String, Vec<i16>>>);

impl Agent {
    pub(crate) fn new(recordings: &Path) -> Outcome<Agent> {
        let mut agent = Agent(Vec::new());
        for name in names() {
            let mut voice = BTreeMap::new();
            for sentence in ANSWER {
                voice.insert((*sentence).to_owned(), levelled(&say(recordings, name, sentence)?, AGENT));
            }
            agent.0.push(voice);
        }
        Ok(agent)
    }

    /// What it answers.
    pub(crate) fn answer() -> String {
        ANSWER.join(" ")
    }

    /// The sound of a sentence of it, in one of its voices.
    pub(crate) fn sound(&self, voice: u64, sentence: &str) -> Outcome<&[i16]> {
        let voice = &self.0[(voice % self.0.len() as u64) as usize];
        Ok(voice.get(sentence.trim()).ok_or_else(|| format!("the agent was not to say {sentence:?}"))?)
    }
}
