//! What a language model writes, as a voice is given it: piece by piece, while it is still being written.
//!
//! A piece ends where a person who reads aloud would breathe: at the end of a sentence, a heading, a list item, a paragraph. What is spoken
//! for it is not what is written: marks of Markdown and HTML, code, addresses of pages and pictographs are for the eye.
//!
//! Every decision is made from the beginning of the piece and at most [`MAX_CHARS`] + 1 characters of it. It is made when it can no longer
//! change with what follows, so the pieces do not depend on how the stream was cut, and nothing waits for ever.

mod abbreviations;
mod atom;
mod cut;
mod entity;
mod inline;
mod line;
mod sentence;
mod speech;
#[cfg(test)]
mod tests;
mod voice;
mod window;

use cut::Cutter;
use speech::Speaker;
use window::Window;

/// The longest piece, in characters as they are written.
const MAX_CHARS: usize = 400;

/// A piece: what stands in captions, and what is spoken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text to the letter. All pieces in a row are the whole answer.
    pub written: String,
    /// What a voice is given: one line without marks. Empty where nothing is to be spoken.
    pub spoken: String,
}

/// Cuts an answer into what a voice is given at a time, while it is still being written.
#[derive(Debug)]
pub struct Script {
    /// The answer, of which some was handed out already.
    text: String,
    /// Bytes of `text` that were handed out.
    taken: usize,
    finished: bool,
    cutter: Cutter,
    speaker: Speaker,
}

impl Script {
    /// An answer of which nothing is there yet.
    pub fn new() -> Script {
        Script {
            text: String::new(),
            taken: 0,
            finished: false,
            cutter: Cutter::new(),
            speaker: Speaker::new(),
        }
    }

    /// More of the answer, cut anywhere between two characters.
    pub fn push(&mut self, text: &str) {
        if self.taken > 0 && self.taken * 2 >= self.text.len() {
            self.text.drain(..self.taken);
            self.taken = 0;
        }
        self.text.push_str(text);
    }

    /// Whether what was not handed out yet ends a sentence, if nothing more comes.
    pub fn ends_sentence(&self) -> bool {
        sentence::ends_one(&self.text[self.taken..])
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next piece that is complete.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let rest = &self.text[self.taken..];
        let chars: Vec<char> = rest.chars().take(MAX_CHARS + 1).collect();
        if chars.is_empty() {
            return None;
        }
        let cut = self.cutter.cut(&Window::new(&chars, self.finished))?;
        let written: String = chars[..cut.chars].iter().collect();
        self.taken += written.len();
        let spoken = self.speaker.speak(&chars[..cut.chars], cut.is_code);
        Some(Piece { written, spoken })
    }
}

impl Default for Script {
    fn default() -> Script {
        Script::new()
    }
}
