mod languages;
mod odd;
mod properties;
mod speech;

use super::*;

/// All that an answer gives: pieces as written, and what is spoken for them.
fn pieces(answer: &str) -> Vec<(String, String)> {
    pieces_of([answer])
}

/// The same, of an answer that comes in parts; each piece is taken as soon as it is complete.
fn pieces_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut script = Script::new();
    let mut pieces = Vec::new();
    for part in parts {
        script.push(part);
        pieces.extend(std::iter::from_fn(|| script.next_piece()));
    }
    script.finish();
    pieces.extend(std::iter::from_fn(|| script.next_piece()));
    pieces.into_iter().map(|piece| (piece.written, piece.spoken)).collect()
}

/// Each answer is given as its pieces, as they are written.
fn assert_cut(answers: &[&[&str]]) {
    for expected in answers {
        let written: Vec<String> = pieces(&expected.concat()).into_iter().map(|piece| piece.0).collect();
        assert_eq!(&written, expected);
    }
}

/// Each text is given with all that is spoken for it, a bar between two pieces.
fn assert_spoken(texts: &[(&str, &str)]) {
    for (text, expected) in texts {
        let spoken: Vec<String> = pieces(text).into_iter().map(|piece| piece.1).collect();
        assert_eq!(&spoken.join("|"), expected, "{text:?}");
    }
}
