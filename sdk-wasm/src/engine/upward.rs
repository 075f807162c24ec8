//! The TypeScript type of what a page sends among its audio, made from the protocol's own list.

use protocol::Variables;
use tsify::Tsify;

macro_rules! typed {
    ($(
        $(#[$doc:meta])*
        $word:literal => $variant:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    )*) => {
        /// A message that the page sends among its audio, with its fields as an application sees them.
        #[derive(Tsify)]
        #[serde(tag = "type", rename_all_fields = "camelCase")]
        #[expect(dead_code, reason = "only its TypeScript type is used")]
        enum Upward {
            $($(#[$doc])* #[serde(rename = $word)] $variant { $($(#[$field_doc])* $field: $type,)* },)*
        }
    };
}

protocol::upward_messages!(typed);
