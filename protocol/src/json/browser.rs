//! By the browser: `JSON.parse` makes a value of the text, and this reads serde's types from it. Only what messages are made of can be read: objects,
//! lists, texts, whole numbers, booleans and what may be missing.
//!
//! It reads the fields that a type has and looks at no other, however deep; so the depth is the type's. `JSON.parse` knows no whole
//! numbers: `1.0` is 1, and what is beyond 2⁵³ is refused, since digits of it may be lost.
//!
//! What is not as it has to be is noted, and reading goes on as if there were nothing: then no type needs code for what to do with its
//! half when the rest cannot be read, which would be a third of what is downloaded for it.

use std::cell::Cell;
use std::marker::PhantomData;

use js_sys::{Array, JSON, Number, Object, Reflect};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use wasm_bindgen::{JsCast, JsValue};

use super::never::Never;

/// A text that is JSON.
pub(crate) struct Document<'a> {
    value: JsValue,
    text: PhantomData<&'a str>,
}

impl<'a> Document<'a> {
    /// Nothing if it is no JSON.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Some(Document { value: JSON::parse(text).ok()?, text: PhantomData })
    }

    /// Reads it as a `T`.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Option<T> {
        let broken = Cell::new(false);
        match T::deserialize(Value { value: &self.value, broken: &broken }) {
            Ok(read) => Some(read).filter(|_| !broken.get()),
            Err(never) => match never {},
        }
    }
}

/// What is read.
#[derive(Clone, Copy)]
struct Value<'a> {
    value: &'a JsValue,
    /// Set when something is not as it has to be.
    broken: &'a Cell<bool>,
}

impl<'a> Value<'a> {
    /// Notes whether all is well.
    fn expect(self, is_well: bool) {
        if !is_well {
            self.broken.set(true);
        }
    }

    /// A whole number of at least 0 that JavaScript is sure of.
    #[inline(never)]
    fn whole(self) -> u64 {
        let number = self.value.as_f64().unwrap_or(-1.0);
        self.expect(number >= 0.0 && Number::is_safe_integer(self.value));
        number as u64
    }

    #[inline(never)]
    fn text(self) -> String {
        let text = self.value.as_string();
        self.expect(text.is_some());
        text.unwrap_or_default()
    }

    fn is_missing(self) -> bool {
        self.value.is_null() || self.value.is_undefined()
    }

    /// What it has by this name.
    fn member(self, name: &JsValue) -> JsValue {
        Reflect::get(self.value, name).unwrap_or(JsValue::UNDEFINED)
    }
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Never;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Never> {
        unreachable!("no message asks a value what it is")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        let value = self.value.as_bool();
        self.expect(value.is_some());
        visitor.visit_bool(value.unwrap_or_default())
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u64(self.whole())
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        let number = u32::try_from(self.whole());
        self.expect(number.is_ok());
        visitor.visit_u32(number.unwrap_or_default())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        if self.is_missing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        let is_list = Array::is_array(self.value);
        self.expect(is_list);
        let list = if is_list { self.value.clone().unchecked_into() } else { Array::new() };
        visitor.visit_seq(Items { list, next: 0, broken: self.broken })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        // A list is an object, too.
        let is_map = self.value.is_object() && !Array::is_array(self.value);
        self.expect(is_map);
        let names = if is_map { Object::keys(self.value.unchecked_ref::<Object>()) } else { Array::new() };
        visitor.visit_map(Members { object: self, names, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        self.expect(self.value.is_object());
        visitor.visit_seq(Fields { object: self, fields })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

/// The fields of a type, in its order: far less code for each type than if they came by name. What is missing comes as `undefined`.
struct Fields<'a> {
    object: Value<'a>,
    fields: &'static [&'static str],
}

impl Fields<'_> {
    #[inline(never)]
    fn next(&mut self) -> JsValue {
        let (field, rest) = self.fields.split_first().unwrap_or((&"", &[]));
        self.fields = rest;
        self.object.member(&JsValue::from_str(field))
    }

    /// Apart from [`SeqAccess`], so that whoever asks for a field sees that there always is one, and has no code for the case that there is none.
    #[inline(never)]
    fn read<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Never> {
        let value = self.next();
        seed.deserialize(Value { value: &value, ..self.object })
    }
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = Never;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Never> {
        Ok(Some(self.read(seed)?))
    }

    #[inline(always)]
    fn next_element<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, Never> {
        self.next_element_seed(PhantomData)
    }
}

/// Whatever members an object has.
struct Members<'a> {
    object: Value<'a>,
    names: Array,
    next: u32,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Never;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Never> {
        if self.next == self.names.length() {
            return Ok(None);
        }
        self.next += 1;
        seed.deserialize(Value { value: &self.names.get(self.next - 1), ..self.object }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Never> {
        let value = self.object.member(&self.names.get(self.next - 1));
        seed.deserialize(Value { value: &value, ..self.object })
    }
}

/// The items of a list.
struct Items<'a> {
    list: Array,
    next: u32,
    broken: &'a Cell<bool>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Never;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Never> {
        if self.next == self.list.length() {
            return Ok(None);
        }
        self.next += 1;
        seed.deserialize(Value { value: &self.list.get(self.next - 1), broken: self.broken }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::*;

    const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

    /// Reads what another library reads, and the same; nothing where it reads nothing.
    fn same<T: DeserializeOwned + PartialEq + Debug>(text: &str) -> bool {
        let ours: Option<T> = Document::parse(text).expect("JSON").read();
        let theirs: Option<T> = serde_wasm_bindgen::from_value(JSON::parse(text).expect("JSON")).ok();
        assert_eq!(ours, theirs, "{text}");
        ours.is_some()
    }

    /// How many types of message a text can be read as.
    fn types(text: &str) -> usize {
        macro_rules! each {
            ($($type:ty),*) => { [$(same::<$type>(text)),*].into_iter().filter(|is| *is).count() };
        }
        each!(
            Mark,
            Hello,
            Resume,
            ClientAck,
            Gap,
            Mute,
            Token,
            Ping,
            Bye,
            BargeIn,
            Playback,
            Welcome,
            Limits,
            Prices,
            Price,
            Resumed,
            ResumeFailed,
            RelayAck,
            Resend,
            Pong,
            Usage,
            ErrorMessage,
            TokenExpiring,
            TokenAccepted,
            Ended,
            AgentStateMessage,
            Transcript,
            ReplyEnd,
            Flush,
            Hold,
            Release,
            Budget,
            ToolCall,
            ToolCancel,
            Degraded,
            Latency,
            Listened,
            Move,
            TokenRefused,
            Features
        )
    }

    fn lines() -> impl Iterator<Item = &'static str> {
        DOCUMENT.lines().filter(|line| line.starts_with("{\"type\":"))
    }

    #[test]
    fn every_line_of_the_document_is_read_as_another_library_reads_it() {
        let read: usize = lines().map(types).sum();
        assert!(lines().count() > 30 && read > 2 * lines().count(), "{read}");
    }

    #[test]
    fn whatever_is_put_in_place_of_a_value_others_agree() {
        let replacements = [
            "null",
            "true",
            "0",
            "-0",
            "-1",
            "1.5",
            "4294967295",
            "4294967296",
            "9007199254740991",
            "9007199254740992",
            "1e300",
            "\"\"",
            "\"unknown\"",
            "[]",
            "[1]",
            "[\"a\"]",
            "{}",
            "{\"a\":{\"b\":[null]}}",
        ];
        for line in lines() {
            let message: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).expect("JSON");
            for name in message.keys() {
                let mut less = message.clone();
                less.remove(name);
                types(&serde_json::to_string(&less).expect("JSON"));
                for replacement in replacements {
                    let mut changed = message.clone();
                    changed[name] = serde_json::from_str(replacement).expect("JSON");
                    types(&serde_json::to_string(&changed).expect("JSON"));
                }
            }
        }
        for text in replacements {
            types(text);
        }
    }

    #[test]
    fn what_is_no_json_is_nothing_and_depth_does_no_harm() {
        for text in ["", "{", "nul", "{\"type\":\"pong\",}", "{'type':'pong'}", "\u{feff}{}"] {
            assert!(Document::parse(text).is_none(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        let pong = format!(r#"{{"type":"pong","id":7,"more":{deep}}}"#);
        assert_eq!(RelayMessage::parse(&pong), Ok(Pong { id: 7 }.into()));
        let wrong = format!(r#"{{"type":"pong","id":{deep}}}"#);
        assert_eq!(RelayMessage::parse(&wrong), Err(ParseError::Malformed));
    }
}
