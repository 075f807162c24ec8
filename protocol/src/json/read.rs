//! Reading, after RFC 8259.

/// Lists and objects inside one another.
const DEEPEST: u32 = 8;
/// Values in one text: far more than any message has, far less than would hurt.
const MOST_VALUES: u32 = 4_096;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(u64),
    /// A number that is negative, too large or not whole.
    OtherNumber,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Something that can be read from JSON.
pub(crate) trait Read: Sized {
    /// `None` if it is something else.
    fn read(json: &Json) -> Option<Self>;
}

impl Json {
    /// The member of an object, `null` if it has none; the first of several.
    pub(crate) fn member(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => {
                members.iter().find(|(other, _)| other == name).map_or(&Json::Null, |(_, value)| value)
            }
            _ => &Json::Null,
        }
    }

    /// Gives a member of an object another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Json::Object(members) = self {
            for (name, _) in members {
                if name == from {
                    *name = to.into();
                }
            }
        }
    }

    /// Reads the member of an object.
    pub(crate) fn field<T: Read>(&self, name: &str) -> Option<T> {
        T::read(self.member(name))
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Read for u64 {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl Read for u32 {
    fn read(json: &Json) -> Option<Self> {
        u64::read(json)?.try_into().ok()
    }
}

impl Read for bool {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl Read for String {
    fn read(json: &Json) -> Option<Self> {
        json.text().map(String::from)
    }
}

impl<T: Read> Read for Option<T> {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::Null => Some(None),
            value => T::read(value).map(Some),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(json: &Json) -> Option<Self> {
        match json {
            Json::List(values) => values.iter().map(T::read).collect(),
            _ => None,
        }
    }
}

/// Reads a text that is one JSON value.
pub(crate) fn parse(text: &str) -> Option<Json> {
    let mut parser = Parser { text, place: 0, values_left: MOST_VALUES };
    let value = parser.value(DEEPEST)?;
    parser.skip_space();
    (parser.place == text.len()).then_some(value)
}

struct Parser<'a> {
    text: &'a str,
    place: usize,
    values_left: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    /// Moves past `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.place += usize::from(is_next);
        is_next
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.place += 1;
        }
    }

    /// Moves past `byte` and the space around it if it is next.
    fn take_mark(&mut self, byte: u8) -> bool {
        self.skip_space();
        let taken = self.take(byte);
        self.skip_space();
        taken
    }

    fn value(&mut self, depth: u32) -> Option<Json> {
        self.values_left = self.values_left.checked_sub(1)?;
        self.skip_space();
        match self.peek()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            b'"' => self.string().map(Json::Text),
            b'-' | b'0'..=b'9' => self.number(),
            _ => [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
                .into_iter()
                .find(|(word, _)| self.text.as_bytes()[self.place..].starts_with(word.as_bytes()))
                .map(|(word, value)| {
                    self.place += word.len();
                    value
                }),
        }
    }

    fn object(&mut self, depth: u32) -> Option<Json> {
        let mut members = Vec::new();
        self.take_mark(b'{');
        if self.take(b'}') {
            return Some(Json::Object(members));
        }
        loop {
            let name = self.string()?;
            if !self.take_mark(b':') {
                return None;
            }
            members.push((name, self.value(depth)?));
            if self.take_mark(b',') {
                continue;
            }
            return self.take(b'}').then_some(Json::Object(members));
        }
    }

    fn list(&mut self, depth: u32) -> Option<Json> {
        let mut values = Vec::new();
        self.take_mark(b'[');
        if self.take(b']') {
            return Some(Json::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.take_mark(b',') {
                continue;
            }
            return self.take(b']').then_some(Json::List(values));
        }
    }

    fn number(&mut self) -> Option<Json> {
        let negative = self.take(b'-');
        let start = self.place;
        let integer = self.digits()?;
        if self.place - start > 1 && self.text.as_bytes()[start] == b'0' {
            return None;
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            whole = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(match integer {
            Some(number) if whole && !negative => Json::Integer(number),
            _ => Json::OtherNumber,
        })
    }

    /// One digit or more: `None` if there is none, `Some(None)` if they are more than a `u64` holds.
    fn digits(&mut self) -> Option<Option<u64>> {
        let start = self.place;
        let mut number = Some(0_u64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.place += 1;
        }
        (self.place > start).then_some(number)
    }

    fn string(&mut self) -> Option<String> {
        if !self.take(b'"') {
            return None;
        }
        let mut string = String::new();
        let mut start = self.place;
        loop {
            match self.peek()? {
                end @ (b'"' | b'\\') => {
                    string.push_str(self.text.get(start..self.place)?);
                    self.place += 1;
                    if end == b'"' {
                        return Some(string);
                    }
                    string.push(self.escaped()?);
                    start = self.place;
                }
                0..=0x1F => return None,
                _ => self.place += 1,
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.place += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                if !(0xD800..0xDC00).contains(&high) {
                    return char::from_u32(high);
                }
                if !(self.take(b'\\') && self.take(b'u')) {
                    return None;
                }
                let low = self.hex()?;
                if !(0xDC00..0xE000).contains(&low) {
                    return None;
                }
                return char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            number = number * 16 + char::from(self.peek()?).to_digit(16)?;
            self.place += 1;
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The same value as another library read it.
    fn alike(ours: &Json, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Json::Null, serde_json::Value::Null) => true,
            (Json::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
            (Json::Integer(ours), serde_json::Value::Number(theirs)) => theirs.as_u64() == Some(*ours),
            (Json::OtherNumber, serde_json::Value::Number(theirs)) => theirs.as_u64().is_none(),
            (Json::Text(ours), serde_json::Value::String(theirs)) => ours == theirs,
            (Json::List(ours), serde_json::Value::Array(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(ours, theirs)| alike(ours, theirs))
            }
            (Json::Object(ours), serde_json::Value::Object(theirs)) => {
                ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|theirs| alike(value, theirs)))
            }
            _ => false,
        }
    }

    fn same(text: &str) {
        match (parse(text), serde_json::from_str::<serde_json::Value>(text)) {
            (Some(ours), Ok(theirs)) => assert!(alike(&ours, &theirs), "{text}: {ours:?}"),
            (None, Err(_)) => {}
            // It refuses numbers beyond its floating point; we do not need to know how large a number is that we do not use.
            (Some(_), Err(error)) if error.to_string().contains("out of range") => {}
            (ours, theirs) => panic!("{text}: {ours:?} but {theirs:?}"),
        }
    }

    #[test]
    fn lawful_and_unlawful_texts_are_told_apart_as_others_do() {
        for text in [
            "",
            " ",
            "null",
            " true ",
            "false",
            "nul",
            "truex",
            "0",
            "-0",
            "00",
            "01",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+5",
            "1e",
            "+1",
            "18446744073709551615",
            "18446744073709551616",
            "-5",
            "\"\"",
            "\"a",
            "\"\\\"\"",
            "\"\\u0041\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\u0041\"",
            "\"\\x\"",
            "\"\n\"",
            "\"\u{7f}é\u{10348}\"",
            "[]",
            "[1,2]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" : [ {\"b\":null} ] }",
            "{\"a\"}",
            "{\"a\":}",
            "[[[]]]",
            "]",
            "}",
            "1 2",
            "{} {}",
            "\u{feff}{}",
            "\"\\u00e9\\/\\b\\f\\n\\r\\t\"",
            "tru",
            "f",
            "-",
            "[1}",
        ] {
            same(text);
        }
    }

    #[test]
    fn whatever_is_changed_in_a_message_nothing_panics_and_others_agree() {
        let text = r#"{"type":"transcript","seq":4,"turn":1,"text":"a\u00e9\n\"b\" ü","last":true,"x":[1,-2.5e3,null,{}]}"#;
        let replacements = [
            b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'0', b'9', b'-', b'.', b'e', b'u', b' ', 0x01,
            b'x',
        ];
        for place in 0..text.len() {
            for replacement in replacements {
                let mut bytes = text.as_bytes().to_vec();
                bytes[place] = replacement;
                if let Ok(changed) = String::from_utf8(bytes) {
                    same(&changed);
                }
            }
            if let (Some(start), Some(end)) = (text.get(..place), text.get(place..)) {
                same(start);
                same(end);
            }
        }
    }

    #[test]
    fn neither_depth_nor_number_is_without_bounds() {
        assert!(parse(&"[".repeat(1_000_000)).is_none());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(8)).is_some() && parse(&nested(9)).is_none());
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(&many(4_095)).is_some() && parse(&many(4_096)).is_none());
    }
}
