//! Where answers are cut, language by language.

use super::*;

#[test]
fn english_is_cut_between_its_sentences() {
    assert_cut(&[
        &["Hello there. ", "How are you today? ", "I am doing very well!"],
        &["Yes. ", "Of course I can do that. ", "OK! No. That is everything."],
        &["He said \"Stop right there.\" ", "Then he left the building."],
        &["\"Is it really true?\" he asked them quietly. ", "(It certainly was.) ", "They were glad of it."],
        &[
            "Dr. Smith met Mr. J. K. Rowling on St. James St. at 10.30. ",
            "They talked, e.g. about version v1.2.3. ",
            "It went well.",
        ],
        &["We meet at 5 p.m. tomorrow at the station. ", "We left at 6 p.m. ", "Nobody else was there."],
        &["Pi is about 3.14, not 3.5. ", "That is no secret."],
        &["The U.S. Army is in the U.S. ", "The rest of it is not."],
        &["See No. 5 and Fig. 3 of vol. 2 for this. ", "I have said no. ", "You never listen to me."],
        &["I am 42. ", "She is 40 years old. ", "That was in 2024. ", "They were happy then."],
        &["Write to a.b@example.co.uk or see example.com. ", "Both of them will do."],
        &["Well... I think so, wait… maybe not after all. ", "Really?! You never told me that..."],
    ]);
}

#[test]
fn a_german_sentence_goes_on_behind_abbreviations_and_ordinals() {
    assert_cut(&[
        &["Am 3. Mai kommt Dr. Müller, z. B. mit dem Zug, z.B. um 10.30 Uhr. ", "Das ist sicher."],
        &["Äpfel, Birnen usw. sind da. ", "Es gibt Brot, Käse usw. ", "Danach gehen wir nach Hause."],
        &["Der 2. Versuch im 19. Jahrhundert gelang bzw. er misslang nicht. ", "Das war Nr. 5 von allen."],
        &[
            "Er sagte: „Ich komme gleich.“ ",
            "Dann ging er zu Bett. ",
            "»Wirklich?« »Ja, ganz bestimmt.« ",
            "»Gut so, mein Freund.«",
        ],
    ]);
}

#[test]
fn french_and_spanish_have_signs_of_their_own() {
    assert_cut(&[
        &[
            "Ça va bien ? ",
            "Oui, très bien, merci ! ",
            "« Je viens demain. » ",
            "Il est parti avec M. Dupont, cf. la page 3.",
        ],
        &[
            "¿Cómo está usted? ",
            "¡Muy bien, gracias! ",
            "El Sr. García vive en EE. UU. desde 1990. ",
            "La Sra. López también.",
        ],
    ]);
}

#[test]
fn chinese_and_japanese_need_no_space() {
    assert_cut(&[
        &["你好！", "今天天气很好。", "他说：“我们走吧。”", "然后他就走了。"],
        &[
            "はい。",
            "わかりました。",
            "「どうしたの？」と彼は聞いた。",
            "何でもありません！？",
            "本当ですか。",
        ],
    ]);
}

#[test]
fn other_scripts_are_cut_at_their_stops() {
    assert_cut(&[
        &["नमस्ते दोस्त। ", "आप आज कैसे हैं? ", "मैं ठीक हूँ।"],
        &["كيف حالك اليوم؟ ", "أنا بخير والحمد لله. ", "شكرا جزيلا لك."],
        &["שלום לכולם. ", "מה שלומכם היום? ", "אני בסדר גמור."],
        &["Привет, друзья. ", "Как у вас дела сегодня? ", "Всё хорошо."],
    ]);
}

#[test]
fn blocks_end_with_their_lines() {
    assert_cut(&[
        &["# Title\n", "\nSome text\n\n", "More of it"],
        &[
            "You need:\n",
            "- eggs\n",
            "- milk. Two. Fresh\n",
            "1. First. Second\n",
            "2. Then\n",
            "\nThat is all",
        ],
        &["| a | b |\n", "|---|---|\n| 1 | 2 |\n", "Done"],
        &["Roses are red\nviolets are blue\n\n", "That is a poem."],
        &["Look at this:\n", "```rust\nlet a = 1. First\n\n# no\n```\n", "That was it."],
        &["Yes.\n", "\nNo.\n\n", "Certainly not today."],
        &["- The first sentence is here. ", "The second one goes on\n", "and this is other text."],
        &["````\ncode\n```\nmore\n````\n", "Done with it"],
    ]);
}

#[test]
fn what_only_looks_like_a_block_is_text() {
    assert_cut(&[
        &["  ###### Six\n", "More of it"],
        &["  ####### Seven\nmore of it"],
        &["#tag one\nand more of it"],
        &["123. First thing\n", "Then more"],
        &["1234. ", "First thing\nand more"],
        &["one\n--\ntwo"],
        &["one\n~~ two\nof them"],
    ]);
}

#[test]
fn a_short_sentence_is_spoken_with_the_next_one() {
    assert_cut(&[
        &["Yes. ", "Abcdefghi. Then more of it."],
        &["Yes. ", "Abcdefghij. ", "Then more of it."],
        &["好。", "好好好。然后他就走了。"],
        &["好。", "好好好好。", "然后他就走了。"],
    ]);
}

#[test]
fn a_long_beginning_is_cut_at_a_clause() {
    let clause = "When the sun had finally gone down behind the hills, ";
    let rest =
        "and all the birds that had been singing for the whole of the day were quiet, nobody said a word.";
    assert_cut(&[&[clause, rest]]);
    let later = format!("{clause}{rest}");
    assert_cut(&[&["Yes. ", &later]]);
    assert_cut(&[&["```\ncode\n```\n", clause, rest]]);
}

#[test]
fn a_beginning_is_long_with_its_121st_character_and_a_clause_of_it_with_its_40th() {
    for sign in [", ", "; ", ": ", " - ", " – "] {
        let clause = |chars: usize| format!("{}{sign}", "x".repeat(chars - sign.chars().count()));
        let (long, short) = (clause(40), clause(39));
        assert_cut(&[
            &[long.as_str(), &"y".repeat(81)],
            &[format!("{long}{}", "y".repeat(80)).as_str()],
            &[format!("{short}{}", "y".repeat(82)).as_str()],
        ]);
    }
    let no_clause = format!("{}- {}", "x".repeat(38), "y".repeat(81));
    assert_cut(&[&[no_clause.as_str()]]);
}

#[test]
fn a_piece_comes_as_soon_as_nothing_can_change_it() {
    for (so_far, first) in [
        ("Hello there. H", Some("Hello there. ")),
        ("Hello there. ", None),
        ("Hello there.\n", Some("Hello there.\n")),
        ("Title\n\n", Some("Title\n\n")),
        ("- item\n", Some("- item\n")),
        ("你好。我", Some("你好。")),
        ("Text\n-", None),
        ("Text\n- ", Some("Text\n")),
    ] {
        let mut script = Script::new();
        script.push(so_far);
        assert_eq!(script.next_piece().map(|piece| piece.written).as_deref(), first, "{so_far:?}");
    }
}
