//! Answers that nobody would write, and some that somebody does.

use super::*;

fn longest(pieces: &[(String, String)]) -> usize {
    pieces.iter().map(|piece| piece.0.chars().count()).max().unwrap_or(0)
}

#[test]
fn a_million_letters_without_a_space_come_in_pieces_of_the_greatest_length() {
    let answer = "a".repeat(1_000_000);
    let pieces = pieces(&answer);
    assert_eq!(pieces.len(), 2_500);
    assert_eq!(longest(&pieces), MAX_CHARS);
}

#[test]
fn what_is_opened_and_never_closed_holds_nothing_back() {
    for open in ["`", "```\n", "```", "[", "[a](", "<a href=\"", "**", "(", "\"", "~~~\n", "| ", "![", "\\"] {
        let mut script = Script::new();
        script.push(&format!("{open}{}", "word ".repeat(80)));
        assert!(script.next_piece().is_some(), "{open:?}");
    }
}

#[test]
fn what_is_left_ends_a_sentence_whatever_closes_it_and_does_not_where_there_is_no_stop() {
    for (text, ends) in [
        ("It is sunny.", true),
        ("He says: \"Yes!\" \n", true),
        ("It is **sunny.** 👋", true),
        ("（晴れです。）", true),
        ("It is sunny. And", false),
        ("It is sunny (they say)", false),
        ("", false),
        (" ", false),
    ] {
        let mut script = Script::new();
        script.push(text);
        assert_eq!(script.ends_sentence(), ends, "{text:?}");
        script.finish();
        while script.next_piece().is_some() {}
        assert!(!script.ends_sentence(), "nothing is left of {text:?}");
    }
}

#[test]
fn what_was_handed_out_is_not_kept() {
    let mut script = Script::new();
    for _ in 0..10_000 {
        script.push("A sentence of some length. ");
        while script.next_piece().is_some() {}
    }
    assert!(script.text.len() < 1_000);
}

#[test]
fn a_sentence_that_is_too_long_is_cut_at_a_clause_or_else_at_a_space() {
    let words = "word ".repeat(70);
    let with_clause = format!("Yes. Then {}this, {words}{words}", "word ".repeat(60));
    assert!(pieces(&with_clause)[1].0.ends_with("this, "));
    let without = format!("Yes. Then {words}{words}");
    assert_eq!(pieces(&without)[1].0.chars().count(), MAX_CHARS);
    assert!(pieces(&without)[1].0.ends_with("word "));
}

#[test]
fn a_clause_or_a_space_counts_in_the_later_half_of_the_longest_piece() {
    for sign in [", ", " "] {
        for (chars, length) in [(200, 200), (199, MAX_CHARS)] {
            let answer = format!("Yes. {}{sign}{}", "X".repeat(chars - sign.len()), "y".repeat(MAX_CHARS));
            assert_eq!(pieces(&answer)[1].0.chars().count(), length, "{sign:?} at {chars}");
        }
    }
}

#[test]
fn characters_that_belong_together_stay_together() {
    let answer = "e\u{301}\u{323}".repeat(1_000);
    assert!(pieces(&answer).iter().all(|piece| piece.0.starts_with('e')));
    let family = "👨‍👩‍👧".repeat(500);
    assert!(pieces(&family).iter().all(|piece| piece.0.starts_with('👨') && piece.1.is_empty()));
    let marks = format!("a{}", "\u{301}".repeat(1_000));
    assert_eq!(longest(&pieces(&marks)), MAX_CHARS);
}

#[test]
fn an_address_that_is_longer_than_a_piece_leaves_nothing_in_the_next_one() {
    let address = format!("https://example.com/{}", "a/".repeat(600));
    let spoken = |answer: &str| {
        let pieces = pieces(answer).into_iter().map(|piece| piece.1).filter(|spoken| !spoken.is_empty());
        pieces.collect::<Vec<_>>().join("|")
    };
    assert_eq!(spoken(&format!("See {address} for more.")), "See example.com|for more.");
    assert_eq!(spoken(&format!("See [it]({address}) for more.")), "See it|for more.");
}

#[test]
fn only_punctuation_is_silent() {
    let pieces = pieces(&".?!,;:*#_-`~|<>[](){}\"' ".repeat(200));
    assert!(pieces.iter().all(|piece| piece.1.is_empty()), "{pieces:?}");
}

#[test]
fn code_that_is_longer_than_a_piece_is_cut_between_lines_and_never_spoken() {
    let answer = format!("Look:\n```\n{}```\nDone.", "let line = 1;\n".repeat(100));
    let pieces = pieces(&answer);
    let (code, text): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.1.is_empty());
    assert!(code.len() >= 3 && code.iter().all(|piece| piece.0.ends_with('\n')));
    assert_eq!(text.iter().map(|piece| piece.1.as_str()).collect::<Vec<_>>(), ["Look:", "Done."]);
}

#[test]
fn a_link_is_not_cut_in_two_whatever_sentences_its_text_has() {
    assert_cut(&[
        &["See [the manual. It is long](https://a.b/c) first. ", "Then go."],
        &["See [the [old] manual. It is long](https://a.b/c_(d)) first. ", "Then go."],
        &["See [the manual. ", "It is long] first. ", "Then go."],
    ]);
}

#[test]
fn a_tag_is_not_cut_in_two_whatever_sentences_its_attributes_have() {
    assert_cut(&[
        &["See <a title=\"The manual. It is long\">this</a> first. ", "Then go."],
        &["It is <b title=\"One! Two\">here</b>. ", "Go."],
        &["If 3 < 4. ", "Then go."],
        &["See <a title=\"The manual. ", "It is long\nThen go."],
    ]);
}
