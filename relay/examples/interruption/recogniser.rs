//! Who hears the user's words, and when they say so.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::Outcome;
use super::set::{Item, Kind, hash};

/// Who hears the words; see the example.
pub(crate) enum Recogniser {
    Stream { invents: bool },
    Utterances { invents: bool },
    Sphinx(Sphinx),
    Nobody,
}

impl Recogniser {
    /// What it is called, where a voice that goes on for so long decides if nobody hears its words.
    pub(crate) fn title(&self, interrupted_after: Duration) -> String {
        match self {
            Recogniser::Stream { invents: false } => "a stream, scripted".to_owned(),
            Recogniser::Utterances { invents: false } => "utterances, scripted".to_owned(),
            Recogniser::Stream { invents: true } => "a stream, scripted, that invents words".to_owned(),
            Recogniser::Utterances { invents: true } => "utterances, scripted, that invent words".to_owned(),
            Recogniser::Sphinx(_) => "utterances, heard by pocketsphinx".to_owned(),
            Recogniser::Nobody => {
                format!("nobody hears, interruption_ms = {}", interrupted_after.as_millis())
            }
        }
    }

    /// Whether it hears any words at all.
    pub(crate) fn hears_words(&self) -> bool {
        match self {
            Recogniser::Stream { .. } | Recogniser::Utterances { .. } | Recogniser::Sphinx(_) => true,
            Recogniser::Nobody => false,
        }
    }

    /// Whether it hears words in noises that have none.
    pub(crate) fn invents(&self) -> bool {
        match self {
            Recogniser::Stream { invents } | Recogniser::Utterances { invents } => *invents,
            Recogniser::Sphinx(_) | Recogniser::Nobody => false,
        }
    }

    /// Whether this item is anything for it.
    pub(crate) fn can_hear(&self, item: &Item) -> bool {
        match self {
            Recogniser::Sphinx(_) => {
                item.language == "en" && matches!(item.kind, Kind::Interruption | Kind::BackChannel)
            }
            Recogniser::Stream { invents: true } | Recogniser::Utterances { invents: true } => {
                item.kind == Kind::Interruption || item.kind.is_noise()
            }
            Recogniser::Stream { .. } | Recogniser::Utterances { .. } | Recogniser::Nobody => true,
        }
    }

    /// Whether it is given everything as it comes.
    pub(crate) fn is_fed(&self) -> bool {
        matches!(self, Recogniser::Stream { .. } | Recogniser::Nobody)
    }

    /// The words that it can hear in an item that begins here.
    pub(crate) fn words_in(&self, item: &Item, begins: u32) -> Vec<Word> {
        if self.invents() && item.kind.is_noise() {
            return invented(item, begins).into_iter().collect();
        }
        words_of(&item.words, begins, begins + item.sound.len() as u32, 0)
    }
}

/// Of so many noises one has a word for a recogniser that invents some.
pub(crate) const INVENTED_ONE_IN: u64 = 4;
/// What such a noise is heard as: short words that are no back-channels.
const INVENTED: [&str; 5] = ["uh", "the", "huh", "a", "you"];
/// How long such a word lasts: 200 ms.
const INVENTED_LASTS: u32 = 3_200;

/// A word that can be heard, and from where to where, in the user's timeline.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Which sentence it belongs to, and whether it is the last of it.
    pub(crate) sentence: usize,
    pub(crate) is_last: bool,
}

/// The words of a text that lasts from here to there, each as long as it has letters.
pub(crate) fn words_of(text: &str, start: u32, end: u32, sentence: usize) -> Vec<Word> {
    let letters = |text: &str| text.chars().count() as u32 + 1;
    let all: u32 = text.split_whitespace().map(letters).sum();
    let place =
        |letters: u32| start + (u64::from(end - start) * u64::from(letters) / u64::from(all.max(1))) as u32;
    let count = text.split_whitespace().count();
    let mut before = 0;
    let words = text.split_whitespace().enumerate().map(|(index, word)| {
        let from = before;
        before += letters(word);
        Word {
            text: word.to_owned(),
            start: place(from),
            end: place(before),
            sentence,
            is_last: index + 1 == count,
        }
    });
    words.collect()
}

/// The word that is heard in this noise, somewhere in it, if one is.
fn invented(item: &Item, begins: u32) -> Option<Word> {
    let number = hash(&format!("{} invented", item.name()));
    let length = item.sound.len() as u32;
    let lasts = INVENTED_LASTS.min(length);
    let start = begins + (number >> 16) as u32 % (length - lasts + 1);
    number.is_multiple_of(INVENTED_ONE_IN).then(|| Word {
        text: INVENTED[(number / INVENTED_ONE_IN % INVENTED.len() as u64) as usize].to_owned(),
        start,
        end: start + lasts,
        sentence: 0,
        is_last: true,
    })
}

/// How long after its end a word is told, in samples: 150 to 400 ms.
pub(crate) fn delay(of: &str) -> u32 {
    16 * (150 + (hash(of) % 251) as u32)
}

/// How a recogniser hears a word that comes back through a loudspeaker: every tenth is another one.
pub(crate) fn misheard(word: &str, of: &str) -> String {
    let others = ["brook", "winter", "sandal", "tables", "fourteen"];
    let number = hash(&format!("{word} {of}"));
    if number.is_multiple_of(10) { others[(number / 10 % 5) as usize].to_owned() } else { word.to_owned() }
}

/// CMU Pocketsphinx, in a process of its own.
pub(crate) struct Sphinx {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Sphinx {
    pub(crate) fn start(python: &Path) -> Outcome<Sphinx> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/interruption/listen.py");
        let mut command = Command::new(python);
        command.args([script, "hear"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("{}: {error}", python.display()))?;
        let (to, from) = process.stdin.take().zip(process.stdout.take()).ok_or("it has no pipes")?;
        Ok(Sphinx { process, to, from: BufReader::new(from) })
    }

    /// The words of an utterance.
    pub(crate) fn hear(&mut self, samples: &[i16]) -> Outcome<String> {
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.to.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.to.write_all(&bytes)?;
        self.to.flush()?;
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err("pocketsphinx has stopped".into());
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Sphinx {
    fn drop(&mut self) {
        // It waits for more; nothing is left to be told if it does not end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
