//! A provider on this machine, with a model that has nothing special.

use relay::provider::{Deadlines, Kind, Provider};

/// A provider of this kind at this address.
pub(crate) fn at(kind: &str, base_url: &str) -> Provider {
    Provider {
        name: "local".to_owned(),
        kind: Kind::named(kind).expect("registered"),
        base_url: base_url.parse().expect("an address"),
        key: None,
        model: "small".to_owned(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        thinks_first: false,
        price: Some("local/small".to_owned()),
        deadlines: Deadlines::default(),
        max_concurrent: 0,
    }
}
