//! Cuts an answer into pieces for a voice.

/// A piece.
pub struct Piece {
    /// What stands in captions.
    pub written: String,
    /// What is spoken for it.
    pub spoken: String,
}

/// Cuts an answer.
#[derive(Default)]
pub struct Script {
    text: String,
    is_whole: bool,
}

impl Script {
    /// One for an answer.
    #[must_use]
    pub fn new() -> Script {
        Script::default()
    }
    /// More of it.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }
    /// Nothing more.
    pub fn finish(&mut self) {
        self.is_whole = true;
    }
    /// The next.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let cut = self.text.find(". ").map(|at| at + 2).or(self.is_whole.then_some(self.text.len()))?;
        if cut == 0 {
            return None;
        }
        let written: String = self.text.drain(..cut).collect();
        Some(Piece { spoken: written.trim().to_owned(), written })
    }
}
