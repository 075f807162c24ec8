//! The arguments of a tool's call, as a language model wrote them. The first byte says which schema they are held to.

use std::sync::LazyLock;

use relay::agent::tool::Schema;

/// With what makes a check go wrong: nesting without end, patterns, numbers at their bounds, alternatives.
const SCHEMAS: [&str; 4] = [
    r#"{"type":"object","properties":{"at":{"type":"string","maxLength":20},"people":{"type":"integer","minimum":1}},"required":["at"],"additionalProperties":false}"#,
    r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##,
    r#"{"type":"object","patternProperties":{"^(a+)+$":{"type":"string","pattern":"^(x|xx)+y$"}},"propertyNames":{"maxLength":40}}"#,
    r#"{"type":"object","properties":{"n":{"multipleOf":0.01,"exclusiveMaximum":1e308},"l":{"type":"array","uniqueItems":true,"contains":{"const":1}}},"oneOf":[{"required":["n"]},{"required":["l"]}]}"#,
];

static PARSED: LazyLock<Vec<Schema>> =
    LazyLock::new(|| SCHEMAS.iter().map(|text| Schema::parse(text).expect("a schema")).collect());

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let [which, arguments @ ..] = input else { return };
    let Ok(arguments) = std::str::from_utf8(arguments) else { return };
    let schema = &PARSED[usize::from(*which) % PARSED.len()];
    if let Err(why) = schema.check(arguments) {
        assert!(!why.is_empty() && why.len() < 8_192, "words for a model, and not too many");
    }
}
