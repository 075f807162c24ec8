//! Words that end with a full stop and do not end a sentence by it, in English, German, French and Spanish.

/// A name follows these. They begin with a capital.
const TITLES: &[&str] = &[
    "dr", "mr", "mrs", "ms", "prof", "st", "rev", "hon", "gen", "col", "capt", "lt", "sgt", "gov", "sen",
    "rep", "pres", "hr", "fr", "hrn", "dipl", "ing", "mm", "mlle", "mgr", "sr", "sra", "srta", "dra", "srs",
    "ud", "uds", "vd", "vds", "lic", "ee", "mt",
];

/// The sentence always goes on behind these.
const LEADING_ON: &[&str] = &[
    "e.g", "i.e", "eg", "ie", "vs", "cf", "viz", "approx", "incl", "excl", "esp", "z.b", "d.h", "u.a", "v.a",
    "s.o", "s.u", "i.d.r", "sog", "bzw", "ca", "evtl", "ggf", "inkl", "exkl", "zzgl", "vgl", "insb", "geb",
    "gest", "bspw", "p.ex", "p.ej", "c.-à-d", "c.à.d", "env", "ej", "ex", "aprox",
];

/// A number follows these, or they end the sentence.
const BEFORE_NUMBERS: &[&str] = &[
    "no", "nos", "nr", "núm", "num", "fig", "vol", "ch", "chap", "sec", "art", "abb", "abs", "bd", "kap",
    "tab", "tel", "pp", "pg", "pág", "págs", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept",
    "oct", "okt", "nov", "dec", "dez", "op", "eq",
];

/// An ordinal number of German stands after these: "am 3. Mai".
const BEFORE_ORDINALS: &[&str] = &[
    "am", "vom", "zum", "zur", "beim", "im", "der", "die", "das", "dem", "den", "des", "seit", "ihr", "ihre",
    "ihrem", "ihren", "sein", "seine", "seinem", "seinen", "mein", "meine", "meinem", "meinen", "unser",
    "unserem", "jeder", "jeden", "jedem",
];

/// These stand after an ordinal number of German.
const AFTER_ORDINALS: &[&str] = &[
    "januar",
    "jänner",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
    "jahrhundert",
    "jahrhunderts",
    "weltkrieg",
    "weltkriegs",
    "klasse",
    "stock",
    "etage",
    "platz",
    "geburtstag",
    "kapitel",
    "mal",
    "liga",
    "bundesliga",
    "semester",
    "auflage",
    "advent",
    "quartal",
];

/// Sentences begin with these so often that one does after initials ("in the U.S. The …").
const OPENERS: &[&str] = &[
    "the", "he", "she", "it", "they", "we", "i", "you", "this", "that", "these", "those", "there", "here",
    "in", "on", "at", "but", "and", "so", "if", "when", "what", "how", "why", "then", "however", "a", "an",
    "my", "your", "its", "their", "do", "is", "are", "for", "to", "as", "with", "no", "yes", "der", "die",
    "das", "er", "sie", "es", "wir", "ich", "ein", "eine", "und", "aber", "dann", "danach", "wenn", "im",
    "le", "la", "les", "il", "elle", "ils", "nous", "vous", "je", "un", "une", "et", "mais", "puis", "el",
    "los", "las", "ella", "y", "pero", "en", "si",
];

pub(super) fn is_never_last(word: &str) -> bool {
    has(LEADING_ON, word) || (word.starts_with(char::is_uppercase) && has(TITLES, word))
}

pub(super) fn stands_before_number(word: &str) -> bool {
    has(BEFORE_NUMBERS, word)
}

pub(super) fn stands_before_ordinal(word: &str) -> bool {
    has(BEFORE_ORDINALS, word)
}

pub(super) fn stands_after_ordinal(word: &str) -> bool {
    has(AFTER_ORDINALS, word)
}

pub(super) fn opens_sentences(word: &str) -> bool {
    has(OPENERS, word)
}

fn has(words: &[&str], word: &str) -> bool {
    let word = word.to_lowercase();
    words.contains(&word.as_str())
}
