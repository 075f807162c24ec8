//! Fields of JSON, as servers write them who are not exact about types.

use serde_json::Value;

/// The first float behind which not every whole number is one.
const EXACT_BELOW: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// A whole number that is not negative: `7`, `7.0` or `"7"`.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let is_whole = |float: &f64| float.fract() == 0.0 && (0.0..EXACT_BELOW).contains(float);
    match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|float| float as u64))
        }
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A name, which may be a number. An empty one is none.
pub(super) fn name(value: &Value) -> Option<String> {
    match value {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether a call of a tool has no arguments: a model writes nothing then, or `null`.
pub(super) fn is_nothing(arguments: &str) -> bool {
    matches!(arguments.trim(), "" | "null")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_may_be_written_as_a_float_or_as_a_text_and_what_is_none_says_nothing() {
        for seven in [json!(7), json!(7.0), json!("7"), json!(" 7 ")] {
            assert_eq!(whole(&seven), Some(7), "{seven}");
        }
        assert_eq!(
            (whole(&json!(0)), whole(&json!(-0.0)), whole(&json!(u64::MAX))),
            (Some(0), Some(0), Some(u64::MAX))
        );
        for none in [
            json!(-7),
            json!(7.5),
            json!("seven"),
            json!(""),
            json!(1e30),
            json!(true),
            json!([7]),
            Value::Null,
        ] {
            assert_eq!(whole(&none), None, "{none}");
        }
    }

    #[test]
    fn a_name_may_be_a_number() {
        assert_eq!(name(&json!("c-1")).as_deref(), Some("c-1"));
        assert_eq!(name(&json!(7)).as_deref(), Some("7"));
        for none in [json!(""), json!({}), json!(false), Value::Null] {
            assert_eq!(name(&none), None, "{none}");
        }
    }
}
