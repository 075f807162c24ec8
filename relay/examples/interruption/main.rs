//! How many interruptions an agent notices, and how many are false: `cargo xtask bench interruption`.
//!
//! `interruption RECORDINGS [--python PYTHON] [--items] [--json]`: the folder that Debian's packages were unpacked into, and a Python with what
//! `requirements.txt` names; `--items` prints each item that is tuned on, too. Those that are held out are counted only.
//!
//! The relay's own agent speaks, on simulated time, with a real voice, and hears the user in chunks of 100 ms with its real voice activity.
//! What the user does meanwhile is one of a [set](set) of interruptions and of other sounds, each at a place of its own. The agent's voice comes
//! back to it, too: in every other item 30 dB softer, and where that is the item, 20 dB softer, 150 ms late. Whether an item is tuned on or
//! held out is a matter of its name. Who hears the words is different in each table:
//!
//! - a **stream**, scripted: it knows what is said, and says each word 150 to 400 ms after its end, none for noises, and of the agent's
//!   voice the agent's words, every tenth of them misheard;
//! - **utterances**, scripted: each is understood 400 ms after the pause that ends it;
//! - **nobody**: every recogniser has failed, and the voice alone decides. An answer that waits for words, since the voice went on for so long,
//!   counts as cut when it is held, although it goes on afterwards;
//! - a **stream** and **utterances** that invent words, scripted: the same for interruptions and noises only, where one in four coughs, keys,
//!   doors and pieces of music is heard as a short word that is no back-channel, such as "uh" or "the", of 200 ms somewhere in it;
//! - **pocketsphinx**: utterances, with words that it has really heard; English items with words only.
//!
//! An interruption is noticed when the answer is cut. Anything else is a false interruption when it is; a hold that ends with the speech
//! going on is none. Other people have rows of their own, and are no part of recall and precision.
//!
//! Below the tables stand the goals: recall 100 %, precision at least 90 %, and no cut by the agent's own voice, in each half, wherever words are
//! heard. The command ends with code 1 if one that was measured is not reached. Where nobody hears there are none: what such tables call cut is only held by an
//! agent that waits for words. How soon the loudspeaker is silent is measured in a browser: `cargo xtask bench barge-in`.
//!
//! People are recorded, but for the voices of Flite and eSpeak NG, and so is the music. Coughs, keys and doors are synthesised here by seed, except
//! those among Freedoom's sounds: doors, switches and grunts that somebody has recorded.

#![expect(clippy::print_stdout, reason = "this is what the command is for")]

mod goals;
mod noise;
mod recogniser;
mod scene;
mod set;
mod sound;
mod table;
mod voice;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use goals::Goal;
use recogniser::{Recogniser, Sphinx};
use set::Kind;
use table::Table;

/// What goes wrong is for whoever reads the terminal.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How long a voice goes on before it decides, where nobody hears words, in milliseconds.
const INTERRUPTED_AFTER: [u64; 3] = [500, 1_000, 2_000];

fn main() -> Outcome<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (mut recordings, mut python, mut is_json, mut prints_items) = (None, None, false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => is_json = true,
            "--items" => prints_items = true,
            "--python" => python = arguments.next().map(PathBuf::from),
            _ => recordings = Some(PathBuf::from(argument)),
        }
    }
    let recordings =
        recordings.ok_or("usage: interruption RECORDINGS [--python PYTHON] [--items] [--json]")?;
    let set = set::of(&recordings, python.as_deref())?;
    let agent = voice::Agent::new(&recordings)?;
    if !is_json {
        let voices = set::voices(&set, Kind::Interruption);
        println!("{} voices interrupt: {}\n", voices.len(), voices.join("; "));
    }

    let usual = relay::agent::TurnTaking::default().interrupted_after;
    let nobody = INTERRUPTED_AFTER.map(|millis| (Recogniser::Nobody, Duration::from_millis(millis)));
    let scripted =
        |invents| [(Recogniser::Stream { invents }, usual), (Recogniser::Utterances { invents }, usual)];
    let mut recognisers: Vec<_> = scripted(false).into_iter().chain(scripted(true)).collect();
    recognisers.extend(nobody);
    if let Some(python) = python {
        recognisers.push((Recogniser::Sphinx(Sphinx::start(&python)?), usual));
    }
    let mut tables = Vec::new();
    let mut goals: Vec<Goal> = Vec::new();
    for (mut recogniser, interrupted_after) in recognisers {
        let mut table = Table::new(recogniser.title(interrupted_after), recogniser.invents());
        for item in &set {
            if recogniser.can_hear(item) {
                table.add(item, scene::play(item, &agent, &mut recogniser, interrupted_after)?);
            }
        }
        if recogniser.hears_words() {
            goals.extend(table.goals());
        }
        if is_json {
            tables.push(table.to_json());
        } else {
            table.print(prints_items);
        }
    }
    if is_json {
        let goals: Vec<_> = goals.iter().map(Goal::to_json).collect();
        println!("{}", serde_json::json!({ "tables": tables, "goals": goals }));
    } else {
        goals::print(&goals);
    }
    let is_good = goals.iter().all(|goal| goal.is_reached() != Some(false));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
