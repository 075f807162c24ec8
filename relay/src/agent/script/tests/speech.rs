//! What is spoken for what is written.

use super::*;

#[test]
fn emphasis_is_not_read() {
    assert_spoken(&[
        (
            "This is **very** important, *really* and __truly__ ~~not~~.",
            "This is very important, really and truly not.",
        ),
        ("*smiles* Hello", "smiles Hello"),
        ("***All of it***", "All of it"),
        ("snake_case and __init__ stay, un*believ*able", "snake_case and init stay, unbelievable"),
        (
            "**One thing is here. Another thing is there.** End",
            "One thing is here.|Another thing is there.|End",
        ),
        ("so 2 * 3 and 5*3 and x * y but a word * another", "so 2 * 3 and 5*3 and x * y but a word another"),
        ("C# is #1 # here ~5", "C# is #1 here ~5"),
        (r"\*not\* this", "*not* this"),
    ]);
}

#[test]
fn blocks_are_read_as_sentences() {
    assert_spoken(&[
        ("# Title #\nText", "Title.|Text"),
        ("## About C#\n", "About C#."),
        (
            "- milk\n* [ ] eggs\n+ [x] done\n1. First\n– four\n> quoted\n> more",
            "milk.|eggs.|done.|1. First.|four.|quoted. more",
        ),
        ("| Name | **Age** |\n|:--|--:|\n| Bo | 3 |\n", "Name, Age.|Bo, 3."),
        ("| a \\| b | c |\n", "a | b, c."),
        ("Roses are red\nviolets are blue,\nyes", "Roses are red. violets are blue, yes"),
        ("one\n---\ntwo", "one.|two"),
        ("Before.\n```\ncode here\n```\nAfter.", "Before.||After."),
        ("苹果\n香蕉", "苹果。 香蕉"),
    ]);
}

#[test]
fn links_and_addresses_are_read_by_their_names() {
    assert_spoken(&[
        ("See [the *page*](https://example.com/a_(b)?c \"t\") now", "See the page now"),
        (
            "See https://www.example.com/a?b. Then www.foo.org/x, (http://u:p@bar.de:80/) end",
            "See example.com.|Then foo.org, (bar.de) end",
        ),
        ("<https://example.com/x> and <a@b.org> and a_b@c.org", "example.com and a@b.org and a_b@c.org"),
        ("![a cat](cat.png) sits[1] here[^2] [sic] [12]", "a cat sits here sic 12"),
        ("**https://example.com/a**", "example.com"),
        ("见https://example.com/a。好", "见example.com。|好"),
    ]);
}

#[test]
fn code_tags_and_entities_are_read_as_their_text() {
    assert_spoken(&[
        ("Call `a_b(*x)` or ``x ` y`` now", "Call a_b(*x) or x ` y now"),
        ("An `open one", "An open one"),
        ("<b>Bold</b>ly<br/>next <span class=\"x\">y</span> <!-- no -->", "Boldly. next y"),
        ("a < b and c > d, if x<3", "a < b and c > d, if x<3"),
        (
            "Q&amp;A &lt;b&gt; &quot;x&quot; &#39;y&#x27;&nbsp;z &nope; AT&T",
            "Q&A <b> \"x\" 'y' z &nope; AT&T",
        ),
        ("A &#00000233; and &#000000233; too", "A é and &#000000233; too"),
    ]);
}

#[test]
fn each_entity_is_the_sign_that_it_stands_for() {
    for (name, sign) in [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("euro", '€'),
        ("copy", '©'),
        ("reg", '®'),
        ("times", '×'),
        ("deg", '°'),
        ("#233", 'é'),
        ("#xe9", 'é'),
        ("#XE9", 'é'),
    ] {
        assert_eq!(entity::entity(name), Some(sign), "{name}");
    }
    assert!(entity::entity("nbsp").is_some_and(char::is_whitespace));
    for name in ["", "nope", "#", "#x", "#xd800", "#4294967296"] {
        assert_eq!(entity::entity(name), None, "{name}");
    }
}

#[test]
fn pictographs_are_left_out() {
    assert_spoken(&[
        ("Great 🎉! Nice 👨‍👩‍👧 day 👍🏽", "Great!|Nice day"),
        ("Flags 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 and ✅ ☀️ 1️⃣ ★", "Flags and 1"),
        ("20 °C → 5 € ± 3 % © ™", "20 °C → 5 € ± 3 % © ™"),
        ("می‌خواهم क्‍ष", "می‌خواهم क्‍ष"),
        ("🎉🎉", ""),
    ]);
}

#[test]
fn dashes_are_pauses() {
    assert_spoken(&[
        ("He came—late — and left -- so 3–5 well-known", "He came, late, and left, so 3–5 well-known"),
        ("— Hello", "Hello"),
        ("What?— No", "What? No"),
        ("I was—. (—so)", "I was.|(so)"),
    ]);
}

#[test]
fn nothing_but_marks_is_silence() {
    assert_spoken(&[("...", ""), ("**", ""), ("\n\n", ""), ("?!", ""), ("- \n", "")]);
}

#[test]
fn white_space_and_control_characters_are_one_space_or_none() {
    assert_spoken(&[("  a\t\u{a0} b\u{7}\u{200b}c\r\nd\u{feff} ", "a bc. d")]);
}

#[test]
fn an_answer_as_models_write_it_is_read_as_a_person_would() {
    let answer = "Sure! 😊 Here's how to **boil an egg**:\n\n1. **Boil water** — about 1.5 l.\n2. Add the egg; wait 7–8 min.\n\n\
        ### Tips\n- Use `salt` (see [this guide](https://www.egg.org/how?x=1))\n- Don't *overcook* it!\n\nEnjoy! 🍳";
    assert_spoken(&[(
        answer,
        "Sure!|Here's how to boil an egg:|1. Boil water, about 1.5 l.|2. Add the egg; wait 7–8 min.|Tips.|\
         Use salt (see this guide).|Don't overcook it!|Enjoy!",
    )]);
}
