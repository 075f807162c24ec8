//! Writing.

/// Something that can be written as JSON.
pub(crate) trait Value {
    fn write(&self, json: &mut String);
}

impl Value for str {
    /// RFC 8259, section 7: quotes, backslashes and control characters are escaped.
    fn write(&self, json: &mut String) {
        json.push('"');
        for character in self.chars() {
            match character {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\0'..='\u{1f}' => {
                    json.push_str("\\u00");
                    json.push(if character < '\u{10}' { '0' } else { '1' });
                    json.push(char::from(b"0123456789abcdef"[character as usize & 15]));
                }
                _ => json.push(character),
            }
        }
        json.push('"');
    }
}

impl Value for String {
    fn write(&self, json: &mut String) {
        self.as_str().write(json);
    }
}

impl Value for u64 {
    fn write(&self, json: &mut String) {
        let (mut digits, mut rest) = ([0; 20], *self);
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        json.extend(digits[start..].iter().map(|digit| char::from(*digit)));
    }
}

impl Value for u32 {
    fn write(&self, json: &mut String) {
        u64::from(*self).write(json);
    }
}

impl Value for bool {
    fn write(&self, json: &mut String) {
        json.push_str(if *self { "true" } else { "false" });
    }
}

impl<T: Value> Value for Option<T> {
    fn write(&self, json: &mut String) {
        match self {
            Some(value) => value.write(json),
            None => json.push_str("null"),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn write(&self, json: &mut String) {
        json.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            value.write(json);
        }
        json.push(']');
    }
}

/// Writes the fields of a struct, after a `type` if it is a message.
pub(crate) fn write_object(word: Option<&str>, fields: &[(&str, &dyn Value)], json: &mut String) {
    let mut separator = '{';
    let mut member = |name: &str, value: &dyn Value, json: &mut String| {
        json.push(separator);
        separator = ',';
        name.write(json);
        json.push(':');
        value.write(json);
    };
    if let Some(word) = word {
        member("type", &word.to_owned(), json);
    }
    for (name, value) in fields {
        member(name, *value, json);
    }
    json.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn written(value: &impl Value) -> String {
        let mut json = String::new();
        value.write(&mut json);
        json
    }

    #[test]
    fn strings_read_back_whatever_is_in_them() {
        let nasty: String =
            (0..0x300).filter_map(char::from_u32).chain("\u{10348}\u{2028}".chars()).collect();
        let json = written(&nasty);
        assert!(json.chars().all(|character| character >= ' '), "RFC 8259 wants these escaped");
        assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(nasty));
    }

    #[test]
    fn integers_are_written_in_full() {
        for (number, json) in [(0, "0"), (10, "10"), (u64::MAX, "18446744073709551615")] {
            assert_eq!(written(&number), json);
        }
        assert_eq!(written(&vec![Some(true), None]), "[true,null]");
    }
}
