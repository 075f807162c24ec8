//! What holds for whatever a model writes, however it comes.
//!
//! A case that failed once is in `relay/proptest-regressions/script.txt` and is tried first, every time.

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

/// What answers are made of, and what could go wrong in them.
fn part() -> impl Strategy<Value = String> {
    let parts = [
        "Hello",
        "word",
        "Dr.",
        "z.",
        "B.",
        "e.g.",
        "p.m.",
        "3.",
        "am",
        "Mai",
        "No.",
        "U.S.",
        "The",
        "I",
        "etc.",
        ". ",
        "! ",
        "? ",
        "... ",
        "…",
        ".",
        ",",
        ", ",
        "; ",
        " – ",
        "—",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\r\n",
        "\t",
        "\n- ",
        "\n* ",
        "\n1. ",
        "\n# ",
        "\n> ",
        "\n| ",
        " | ",
        "\n---\n",
        "```",
        "\n```\n",
        "\n```rust\n",
        "~~~",
        "`",
        "``",
        "*",
        "**",
        "_",
        "__",
        "~~",
        "#",
        "[",
        "](",
        "]",
        "(",
        ")",
        "![",
        "[1]",
        "https://www.example.com/a?b",
        "www.",
        "a@b.org",
        "<b>",
        "</b>",
        "<br>",
        "<",
        ">",
        "&amp;",
        "&#0;",
        "&",
        ";",
        "\\",
        "\"",
        "”",
        "“",
        "»",
        " »",
        "«",
        "'",
        "。",
        "！",
        "」",
        "「",
        "，",
        "你好",
        "と",
        "।",
        "؟",
        "שלום",
        "e\u{301}",
        "\u{301}",
        "👍🏽",
        "👨‍👩‍👧",
        "🇩🇪",
        "\u{200d}",
        "\u{200b}",
        "\u{7}",
        "\u{a0}",
        "\u{2028}",
    ];
    prop_oneof![
        20 => proptest::sample::select(parts.to_vec()).prop_map(str::to_owned),
        2 => any::<char>().prop_map(String::from),
        1 => (proptest::sample::select(parts.to_vec()), 1..150_usize).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn answer() -> impl Strategy<Value = String> {
    proptest::collection::vec(part(), 0..60).prop_map(|parts| parts.concat())
}

/// The answer in parts of these lengths, in turns.
fn parts<'a>(answer: &'a str, lengths: &[usize]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut rest = answer;
    for length in lengths.iter().cycle() {
        let end = rest.char_indices().nth(*length).map_or(rest.len(), |(end, _)| end);
        let (part, behind) = rest.split_at(end);
        parts.push(part);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    parts
}

proptest! {
    #![proptest_config(cases(300, "proptest-regressions/script.txt"))]

    #[test]
    fn pieces_do_not_depend_on_how_the_stream_was_cut(
        answer in answer(),
        lengths in proptest::collection::vec(1..40_usize, 1..10),
    ) {
        let whole = pieces(&answer);
        prop_assert_eq!(&pieces_of(parts(&answer, &lengths)), &whole);
        prop_assert_eq!(&pieces_of(parts(&answer, &[1])), &whole);
    }

    #[test]
    fn all_pieces_in_a_row_are_the_answer_to_the_letter(answer in answer()) {
        let written: String = pieces(&answer).into_iter().map(|piece| piece.0).collect();
        prop_assert_eq!(written, answer);
    }

    #[test]
    fn a_piece_is_short_and_what_is_spoken_is_one_clean_line(answer in answer()) {
        for (written, spoken) in pieces(&answer) {
            prop_assert!((1..=MAX_CHARS).contains(&written.chars().count()));
            let words: Vec<&str> = spoken.split_whitespace().collect();
            prop_assert_eq!(words.join(" "), spoken.as_str());
            prop_assert!(!spoken.chars().any(|char| char.is_control() || voice::is_pictograph(char)));
            prop_assert!(spoken.is_empty() || spoken.chars().any(char::is_alphanumeric));
        }
    }

    #[test]
    fn nothing_waits_once_a_whole_piece_is_there(answer in answer()) {
        let mut script = Script::new();
        script.push(&answer);
        while script.next_piece().is_some() {}
        prop_assert!(script.text[script.taken..].chars().count() <= MAX_CHARS);
    }
}
