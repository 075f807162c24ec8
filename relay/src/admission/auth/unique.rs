//! JSON in which no name is given twice.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::refused::quote;

/// JSON whose names are unique at every depth. Of a name that is given twice, one reader takes the first value and another the last (RFC
/// 7519, 4).
#[derive(Debug)]
pub(super) struct Unique(pub(super) Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a name that is given twice")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Unique, E> {
                Ok(Unique(Value::Null))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Unique, E> {
                Ok(Unique(Value::Bool(flag)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Unique, E> {
                Ok(Unique(number.into()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Unique, E> {
                Ok(Unique(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Unique, E> {
                let number = Number::from_f64(number).ok_or_else(|| E::custom("not a finite number"))?;
                Ok(Unique(Value::Number(number)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Unique, E> {
                Ok(Unique(Value::String(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
                let mut values = Vec::new();
                while let Some(Unique(value)) = list.next_element()? {
                    values.push(value);
                }
                Ok(Unique(Value::Array(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Unique, A::Error> {
                let mut values = Map::new();
                while let Some((name, Unique(value))) = object.next_entry::<String, Unique>()? {
                    if values.contains_key(&name) {
                        return Err(de::Error::custom(format_args!(
                            "the name {} is given twice",
                            quote(&name)
                        )));
                    }
                    values.insert(name, value);
                }
                Ok(Unique(Value::Object(values)))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_given_twice_is_refused_at_every_depth() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"[{"a":1,"\u0061":2}]"#] {
            assert!(serde_json::from_str::<Unique>(json).is_err(), "{json}");
        }
        let json = r#"{"a":{"a":[null,true,-1,2.5,"x",18446744073709551615]},"b":{}}"#;
        let Unique(value) = serde_json::from_str(json).expect("good");
        assert_eq!(value, serde_json::from_str::<Value>(json).expect("JSON"));
    }
}
