//! The set: what users do while the agent speaks, and whether that is an interruption.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;
use super::noise::{Random, cough, door, keys};
use super::sound::{at_speech_rate, levelled, read};
use super::voice::{names, say};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Interruption,
    BackChannel,
    Cough,
    Key,
    Door,
    Music,
    /// The agent's own, coming back.
    OwnVoice,
    /// Somebody else in the room, or on television.
    OtherVoice,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Interruption,
        Kind::BackChannel,
        Kind::Cough,
        Kind::Key,
        Kind::Door,
        Kind::Music,
        Kind::OwnVoice,
        Kind::OtherVoice,
    ];

    /// Nobody's voice, and no words.
    pub(crate) fn is_noise(self) -> bool {
        matches!(self, Kind::Cough | Kind::Key | Kind::Door | Kind::Music)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Interruption => "interruption",
            Kind::BackChannel => "back-channel",
            Kind::Cough => "cough",
            Kind::Key => "key",
            Kind::Door => "door",
            Kind::Music => "music",
            Kind::OwnVoice => "own voice",
            Kind::OtherVoice => "other people",
        }
    }
}

/// What a user does while the agent speaks.
pub(crate) struct Item {
    pub(crate) kind: Kind,
    /// Who is heard, or what.
    pub(crate) voice: String,
    /// What is said, as far as it has words.
    pub(crate) words: String,
    /// The language of the words, as a BCP 47 tag.
    pub(crate) language: &'static str,
    /// At 16 kHz, as the microphone has it.
    pub(crate) sound: Vec<i16>,
    /// The noise of the room, in dB of full scale.
    pub(crate) room: f32,
    name: String,
}

impl Item {
    fn new(kind: Kind, voice: &str, what: &str, sound: Vec<i16>) -> Item {
        let name = format!("{}/{voice}/{what}", kind.name());
        Item { kind, voice: voice.to_owned(), words: String::new(), language: "en", sound, room: -62.0, name }
    }

    fn saying(mut self, words: &str, language: &'static str) -> Item {
        (self.words, self.language) = (words.to_owned(), language);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A number that is always the same for this item.
    pub(crate) fn seed(&self) -> u64 {
        hash(&self.name)
    }

    /// Nothing was tuned on it.
    pub(crate) fn is_held_out(&self) -> bool {
        self.seed() & 1 == 1
    }
}

/// Where the prompts of a telephone system lie below `/usr/share`.
const SOUNDS: &str = "asterisk/sounds";
/// Voices of that: the package, the folder, who, and what language.
const PROMPTERS: [(&str, &str, &str, &str); 6] = [
    (ALLISON.0, ALLISON.1, "Allison, English", "en"),
    ("asterisk-core-sounds-es-wav", "es_MX_f_Allison", "Allison, Spanish", "es"),
    ("asterisk-core-sounds-fr-wav", "fr_CA_f_June", "June, French", "fr"),
    ("asterisk-prompt-it-menardi-wav", "it_IT_f_Menardi", "Menardi, Italian", "it"),
    ("asterisk-core-sounds-it-wav", "it_IT_m_Carlo", "Carlo, Italian", "it"),
    ("asterisk-core-sounds-ru-wav", "ru_RU_f_IvrvoiceRU", "Ivrvoice, Russian", "ru"),
];
const ALLISON: (&str, &str) = ("asterisk-core-sounds-en-wav", "en_US_f_Allison");
/// What each of them says, and what that is in English: what a recogniser is scripted to hear.
const PROMPTS: [(&str, &str); 18] = [
    ("vm-no", "no"),
    ("vm-goodbye", "goodbye"),
    ("hello-world", "hello world"),
    ("vm-press", "press"),
    ("dir-multi1", "press one"),
    ("vm-pls-try-again", "please try again"),
    ("tt-somethingwrong", "something is terribly wrong"),
    ("vm-sorry", "I am sorry I did not understand you"),
    ("queue-thankyou", "thank you for your patience"),
    ("conf-errormenu", "invalid choice"),
    ("vm-tooshort", "your message is too short"),
    ("vm-nomore", "no more messages"),
    ("vm-tocancel", "or pound to cancel"),
    ("vm-unknown-caller", "from an unknown caller"),
    ("vm-Urgent", "urgent"),
    ("vm-isunavail", "is unavailable"),
    ("pbx-transfer", "transfer"),
    ("vm-repeat", "press five to repeat this message"),
];
/// What others say in the background, so much softer than a user, in dB.
const OTHERS_SAY: [(&str, &str, f32); 3] = [
    ("vm-leavemsg", "please leave your message", 0.0),
    ("vm-tomakecall", "to make a call press four", 12.0),
    ("vm-savedto", "message saved to", 24.0),
];
/// What each of the voices of Flite and eSpeak NG interrupts with.
const SENTENCES: [&str; 12] = [
    "stop",
    "no",
    "wait",
    "hold on",
    "wait, stop, I meant Tuesday",
    "no, that is not what I asked",
    "yes but can we make it six people",
    "okay and what does the soup cost",
    "excuse me, who are you",
    "can you say that again please",
    "I would like to cancel the booking",
    "that is all I wanted to know, thank you, I will call again tomorrow morning",
];
const BACK_CHANNELS: [&str; 8] =
    ["yes", "okay", "uh huh", "mhm", "right", "okay, I see", "yeah yeah", "all right, got it"];
/// The same in other languages, in voices of eSpeak NG.
const OTHER_BACK_CHANNELS: [(&str, &str); 12] = [
    ("de", "ja"),
    ("de", "genau"),
    ("de", "ach so, ja"),
    ("fr", "oui"),
    ("fr", "d'accord"),
    ("fr", "très bien"),
    ("es", "sí"),
    ("es", "vale, claro"),
    ("es", "entiendo"),
    ("it", "va bene"),
    ("it", "certo"),
    ("it", "sì, capisco"),
];
/// Words of KLettres that are back-channels, spoken by people: the file, the words, the language.
const SYLLABLES: [(&str, &str, &str); 5] = [
    ("de/syllab/ja", "ja", "de"),
    ("de/syllab/gut", "gut", "de"),
    ("es/syllab/si", "sí", "es"),
    ("es/syllab/ya", "ya", "es"),
    ("it/syllab/si", "sì", "it"),
];
/// Sounds of Freedoom that somebody has recorded: a door or what is like one, a switch, a grunt.
const FREEDOOM: [(Kind, &str); 16] = [
    (Kind::Door, "DSDOROPN"),
    (Kind::Door, "DSDORCLS"),
    (Kind::Door, "DSBDOPN"),
    (Kind::Door, "DSBDCLS"),
    (Kind::Door, "DSSTNMOV"),
    (Kind::Door, "DSPUNCH"),
    (Kind::Key, "DSSWTCHN"),
    (Kind::Key, "DSSWTCHX"),
    (Kind::Key, "DSDBOPN"),
    (Kind::Key, "DSDBCLS"),
    (Kind::Key, "DSSGCOCK"),
    (Kind::Key, "DSTINK"),
    (Kind::Cough, "DSOOF"),
    (Kind::Cough, "DSNOWAY"),
    (Kind::Cough, "DSPLPAIN"),
    (Kind::Cough, "DSPOPAIN"),
];
/// What a microphone that regulates itself makes of a voice, in dB of full scale.
const LEVEL: f32 = -24.0;
/// How much of each piece of music is heard, and how often, at other places.
const MUSIC: (usize, usize) = (6 * 16_000, 6);
/// Seeds of what is synthesised; other ones were heard while the rules were made.
const FIRST_SEED: u64 = 1_000;
const COUGHS: u64 = 30;
const TYPISTS: u64 = 24;
const DOORS: u64 = 18;

/// All of it, out of these recordings. Without a Python what people have recorded as Ogg Vorbis is left out.
pub(crate) fn of(recordings: &Path, python: Option<&Path>) -> Outcome<Vec<Item>> {
    let share = |package: &str| recordings.join(package).join("usr/share");
    let mut set = Vec::new();
    spoken(recordings, &share, &mut set)?;
    if let Some(python) = python {
        for (file, words, language) in SYLLABLES {
            let wav = recordings.join(format!("{}.wav", file.replace('/', "-")));
            let ogg = share("klettres-data").join(format!("klettres/{file}.ogg"));
            decode(python, &ogg, &wav)?;
            let (kind, voice) = (Kind::BackChannel, format!("KLettres, {language}"));
            let sound = levelled(&read(&wav)?, level(file));
            set.push(Item::new(kind, &voice, words, sound).saying(words, language));
        }
    }
    let wad = std::fs::read(share("freedoom").join("games/doom/freedoom2.wad"))?;
    for (kind, lump) in FREEDOOM {
        set.push(Item::new(kind, "Freedoom", lump, levelled(&doom_sound(&wad, lump)?, level(lump))));
    }
    let mut made = |kind: Kind, count: u64, make: &dyn Fn(u64) -> Vec<f32>| {
        for seed in FIRST_SEED..FIRST_SEED + count {
            let what = format!("{} {seed}", kind.name());
            set.push(Item::new(kind, "synthesised", &what, levelled(&make(seed), level(&what))));
        }
    };
    made(Kind::Cough, COUGHS, &cough);
    made(Kind::Key, TYPISTS, &|seed| keys(seed, 1.0 + (seed % 4) as f32));
    made(Kind::Door, DOORS, &door);
    music(&share("asterisk-moh-opsound-wav").join("asterisk/moh"), &mut set)?;
    for room in [-62.0, -50.0, -42.0] {
        for take in 0..14 {
            let item = Item::new(
                Kind::OwnVoice,
                "the agent",
                &format!("room at {room} dB, take {take}"),
                Vec::new(),
            );
            set.push(Item { room, ..item });
        }
    }
    Ok(set)
}

/// Who is heard in items of this kind.
pub(crate) fn voices(set: &[Item], kind: Kind) -> Vec<&str> {
    let voices = set.iter().filter(|item| item.kind == kind).map(|item| item.voice.as_str());
    voices.collect::<BTreeSet<_>>().into_iter().collect()
}

/// FNV-1a, 64 bits, and its halves mixed: the lowest bit of the bare one only counts odd letters.
pub(crate) fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

fn spoken(recordings: &Path, share: &dyn Fn(&str) -> PathBuf, set: &mut Vec<Item>) -> Outcome<()> {
    for (package, folder, voice, language) in PROMPTERS {
        let folder = share(package).join(SOUNDS).join(folder);
        for (file, words) in PROMPTS {
            let sound = read(&folder.join(format!("{file}.wav")))?;
            let sound = levelled(&sound, level(&format!("{voice}{file}")));
            set.push(Item::new(Kind::Interruption, voice, words, sound).saying(words, language));
        }
        for (file, words, softer) in OTHERS_SAY {
            let sound = levelled(&read(&folder.join(format!("{file}.wav")))?, LEVEL - softer);
            let what = format!("{words}, {softer} dB softer");
            set.push(Item::new(Kind::OtherVoice, voice, &what, sound).saying(words, language));
        }
    }
    let oh = read(&share(ALLISON.0).join(SOUNDS).join(ALLISON.1).join("digits/oh.wav"))?;
    let oh = levelled(&oh, level("oh"));
    set.push(Item::new(Kind::BackChannel, "Allison, English", "oh", oh).saying("oh", "en"));
    for words in ["front center", "rear left", "side right", "front right"] {
        let file =
            words.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<Vec<_>>().join("_");
        let sound =
            levelled(&read(&share("alsa-utils").join(format!("sounds/alsa/{file}.wav")))?, level(&file));
        set.push(Item::new(Kind::Interruption, "ALSA, English", words, sound).saying(words, "en"));
    }
    for voice in names() {
        let kinds = SENTENCES.map(|words| (Kind::Interruption, words));
        for (kind, words) in kinds.into_iter().chain(BACK_CHANNELS.map(|words| (Kind::BackChannel, words))) {
            let sound = levelled(&say(recordings, voice, words)?, level(&format!("{voice}{words}")));
            set.push(Item::new(kind, voice, words, sound).saying(words, "en"));
        }
    }
    for (language, words) in OTHER_BACK_CHANNELS {
        let sound = levelled(&say(recordings, language, words)?, level(words));
        let item = Item::new(Kind::BackChannel, &format!("espeak {language}"), words, sound);
        set.push(item.saying(words, language));
    }
    Ok(())
}

fn music(folder: &Path, set: &mut Vec<Item>) -> Outcome<()> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let name = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let sound = read(&file.path())?;
        let (length, places) = MUSIC;
        for place in 0..places {
            let begin = sound.len().saturating_sub(length) / places * place;
            let what = format!("{name} {place}");
            // In the background: softer than who speaks.
            let part = levelled(&sound[begin..sound.len().min(begin + length)], level(&what) - 6.0);
            set.push(Item::new(Kind::Music, "music on hold", &what, part));
        }
    }
    Ok(())
}

/// How loud an item is, in dB of full scale: 4 more or less than a voice.
fn level(what: &str) -> f32 {
    LEVEL + Random::new(hash(what)).between(-4.0, 4.0)
}

fn decode(python: &Path, from: &Path, to: &Path) -> Outcome<()> {
    if !to.exists() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/interruption/listen.py");
        let status = Command::new(python).args([script, "decode"]).args([from, to]).status()?;
        if !status.success() {
            return Err(format!("{} cannot be decoded", from.display()).into());
        }
    }
    Ok(())
}

/// A sound out of a WAD of Doom: a directory of names with places and lengths, and there the format 3, the rate, and samples of 8 bits.
fn doom_sound(wad: &[u8], lump: &str) -> Outcome<Vec<f32>> {
    let number = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(wad.get(at..at + 4)?.try_into().ok()?) as usize)
    };
    let find = || {
        let (count, directory) = (number(4)?, number(8)?);
        let entry = (0..count).map(|index| directory + 16 * index).find(|at| {
            wad.get(at + 8..at + 16)
                .is_some_and(|name| name.split(|byte| *byte == 0).next() == Some(lump.as_bytes()))
        })?;
        let (begin, length) = (number(entry)?, number(entry + 4)?);
        let rate = u16::from_le_bytes(wad.get(begin + 2..begin + 4)?.try_into().ok()?);
        Some((wad.get(begin + 8..begin + length)?, rate))
    };
    let (samples, rate) = find().ok_or_else(|| format!("there is no sound {lump}"))?;
    at_speech_rate(samples.iter().map(|sample| (f32::from(*sample) - 128.0) / 128.0).collect(), rate.into())
}
