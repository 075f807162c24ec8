//! JSON as serde's types are read from it and written to it: natively by `serde_json`; in a browser by the browser itself, since a page downloads
//! whatever else does it (`docs/decisions` has the figures).

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(any(target_arch = "wasm32", test))]
mod never;
#[cfg(any(target_arch = "wasm32", test))]
mod writer;

#[cfg(target_arch = "wasm32")]
pub(crate) use browser::Document;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Document, write};
#[cfg(target_arch = "wasm32")]
pub(crate) use writer::write;

/// Makes an enum of plain words readable and writable. It has a variant `Unknown` for the words of newer peers.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* }) => {
        impl $name {
            /// The word on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* $name::Unknown => "unknown" }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Ok(match word.as_str() {
                    $($word => $name::$variant,)*
                    _ => $name::Unknown,
                })
            }
        }
    };
}

pub(crate) use words;
