//! Writes what messages are made of as JSON text: in a page, which has `JSON.stringify` but would first have to build a value for it. Nothing of it
//! can fail, so nothing has to be downloaded for the case that it does.

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::never::Never;

/// Writes JSON text.
pub(crate) fn write(value: &impl Serialize) -> String {
    let mut json = String::new();
    match value.serialize(Writer(&mut json)) {
        Ok(()) => json,
        Err(never) => match never {},
    }
}

struct Writer<'a>(&'a mut String);

impl Writer<'_> {
    /// RFC 8259, section 7: quotes, backslashes and control characters are escaped.
    #[inline(never)]
    fn text(&mut self, text: &str) {
        self.0.push('"');
        for character in text.chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\0'..='\u{1f}' => {
                    self.0.push_str("\\u00");
                    self.0.push(if character < '\u{10}' { '0' } else { '1' });
                    self.0.push(char::from(b"0123456789abcdef"[character as usize & 15]));
                }
                _ => self.0.push(character),
            }
        }
        self.0.push('"');
    }

    #[inline(never)]
    fn whole(&mut self, number: u64) {
        if number > 9 {
            self.whole(number / 10);
        }
        self.0.push(char::from(b'0' + (number % 10) as u8));
    }

    /// What stands before the next item.
    fn separate(&mut self) {
        if !self.0.ends_with(['{', '[', ':']) {
            self.0.push(',');
        }
    }

    /// What stands before the value of a member. An item before it never ends with a bracket that opens.
    #[inline(never)]
    fn name(&mut self, name: &str) {
        self.separate();
        self.text(name);
        self.0.push(':');
    }
}

/// Kinds of values that no message has.
macro_rules! absent {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$result, Never> {
            unreachable!("no message has one")
        })*
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = List<'a>;
    type SerializeTuple = Impossible<(), Never>;
    type SerializeTupleStruct = Impossible<(), Never>;
    type SerializeTupleVariant = Impossible<(), Never>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Impossible<(), Never>;

    fn serialize_bool(self, value: bool) -> Result<(), Never> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Never> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Never> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Never> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(mut self, value: u64) -> Result<(), Never> {
        self.whole(value);
        Ok(())
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Never> {
        self.text(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Never> {
        unreachable!("no message has one")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Never> {
        self.0.push('[');
        Ok(List(self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>, Never> {
        self.0.push('{');
        Ok(Object(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'a>, Never> {
        self.0.push('{');
        Ok(Object(self))
    }

    absent! {
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

struct List<'a>(Writer<'a>);

impl SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.0.separate();
        value.serialize(Writer(self.0.0))
    }

    fn end(self) -> Result<(), Never> {
        self.0.0.push(']');
        Ok(())
    }
}

struct Object<'a>(Writer<'a>);

impl SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Never> {
        self.0.name(name);
        value.serialize(Writer(self.0.0))
    }

    fn end(self) -> Result<(), Never> {
        self.0.0.push('}');
        Ok(())
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Never> {
        self.0.separate();
        name.serialize(Writer(self.0.0))?;
        self.0.0.push(':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(Writer(self.0.0))
    }

    fn end(self) -> Result<(), Never> {
        self.0.0.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Fails unless another library reads what was written as what it was made of.
    fn reads_back(value: &(impl Serialize + ?Sized)) {
        let ours: serde_json::Value = serde_json::from_str(&write(&value)).expect("JSON");
        assert_eq!(ours, serde_json::to_value(value).expect("JSON"));
    }

    #[test]
    fn texts_read_back_whatever_is_in_them() {
        let nasty: String =
            (0..0x300).filter_map(char::from_u32).chain("\u{10348}\u{2028}".chars()).collect();
        reads_back(&nasty);
        for text in ["", "{", "[", ":", "a{", "\\"] {
            reads_back(&vec![text, text]);
            reads_back(&std::collections::BTreeMap::from([(text, text), ("z", text)]));
        }
        assert!(write(&nasty).chars().all(|character| character >= ' '), "RFC 8259 wants these escaped");
    }

    #[test]
    fn numbers_are_written_in_full_and_what_is_missing_is_null() {
        for (number, json) in [(0_u64, "0"), (10, "10"), (u64::MAX, "18446744073709551615")] {
            assert_eq!(write(&number), json);
        }
        assert_eq!(write(&vec![Some(true), None]), "[true,null]");
        reads_back(&vec![vec![1_u32, 2], vec![], vec![3]]);
        reads_back(&(7_u8..9).map(u16::from).collect::<Vec<_>>());
    }
}
