//! JSON made of strings, whole numbers, booleans, lists and objects, and nothing else: what this protocol is written in.
//!
//! Our own, because every page downloads it: general readers bring floating-point numbers, error texts and one copy of themselves for each
//! message (`docs/decisions` has the figures). A test compares it with serde_json.

mod read;
mod write;

pub(crate) use read::{Json, Read, parse};
pub(crate) use write::{Value, write_object};

/// Makes a struct readable and writable, field by field under their own names.
macro_rules! object {
    ($name:ident { $($field:ident),* }) => {
        impl $name {
            pub(crate) fn write_with_type(&self, word: Option<&str>, json: &mut String) {
                crate::json::write_object(word, &[$((stringify!($field), &self.$field)),*], json);
            }
        }

        impl crate::json::Value for $name {
            fn write(&self, json: &mut String) {
                self.write_with_type(None, json);
            }
        }

        impl crate::json::Read for $name {
            fn read(json: &crate::json::Json) -> Option<Self> {
                Some($name { $($field: json.field(stringify!($field))?),* })
            }
        }
    };
}

/// Makes an enum of plain words readable and writable. It has a variant `Unknown` for the words of newer peers.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* }) => {
        impl crate::json::Value for $name {
            fn write(&self, json: &mut String) {
                match self { $($name::$variant => $word,)* $name::Unknown => "unknown" }.write(json);
            }
        }

        impl crate::json::Read for $name {
            fn read(json: &crate::json::Json) -> Option<Self> {
                match json.text()? {
                    $($word => Some($name::$variant),)*
                    _ => Some($name::Unknown),
                }
            }
        }
    };
}

pub(crate) use {object, words};
