//! Values for the names that stand in braces in what an agent is to say and to know.
//!
//! An operator declares the names. A value comes from the user's token, which counts most because nobody can write it but its issuer; or from
//! the page, for names that the operator lets a page set; or it is the name's default. Whatever else stands in braces stays as it is.

/// The longest value that a page may set, in characters. What is beyond is cut off.
const VALUE_MAX_CHARS: usize = 1_000;

/// A name that stands as `{name}` in an agent's greeting and instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// What stands in its place as long as nobody has given it a value.
    pub default: String,
    /// Whether a page may set it.
    pub is_of_page: bool,
}

/// An agent's variables with their values.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<Known>);

#[derive(Debug)]
struct Known {
    declared: Variable,
    value: Option<String>,
    /// The value is the token's, and a page cannot change it.
    is_trusted: bool,
}

impl Variables {
    /// These variables with the values that the user's token has for them.
    pub(super) fn new(declared: Vec<Variable>, trusted: &[(String, String)]) -> Variables {
        let known = declared.into_iter().map(|declared| {
            let value = trusted.iter().rev().find(|(name, _)| *name == declared.name);
            Known { declared, value: value.map(|(_, value)| value.clone()), is_trusted: value.is_some() }
        });
        Variables(known.collect())
    }

    /// The page sets a value. `false` if it may not: there is no such variable, or it is not the page's.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        let is_of_page = |known: &&mut Known| known.declared.name == name && known.declared.is_of_page;
        let Some(known) = self.0.iter_mut().find(is_of_page) else { return false };
        if !known.is_trusted {
            known.value = Some(value.chars().take(VALUE_MAX_CHARS).collect());
        }
        true
    }

    /// A text with values in place of names, each once: what stands in braces in a value is not looked at.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, known, after)) = self.next(rest) {
            filled.push_str(before);
            filled.push_str(known.value.as_ref().unwrap_or(&known.declared.default));
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    /// Whether a name stands in a text that the page may give a value, and has not given one yet.
    pub(super) fn awaits(&self, text: &str) -> bool {
        let mut rest = text;
        while let Some((_, known, after)) = self.next(rest) {
            if known.declared.is_of_page && known.value.is_none() {
                return true;
            }
            rest = after;
        }
        false
    }

    /// The first name of a variable in braces, with what stands before and after it.
    fn next<'t>(&self, text: &'t str) -> Option<(&'t str, &Known, &'t str)> {
        text.match_indices('{').find_map(|(at, _)| {
            let (name, after) = text[at + 1..].split_once('}')?;
            let known = self.0.iter().find(|known| known.declared.name == name)?;
            Some((&text[..at], known, after))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(trusted: &[(&str, &str)]) -> Variables {
        let declare = |name: &str, default: &str, is_of_page| Variable {
            name: name.to_owned(),
            default: default.to_owned(),
            is_of_page,
        };
        let declared =
            vec![declare("name", "there", true), declare("plan", "", false), declare("place", "", true)];
        let trusted: Vec<_> =
            trusted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Variables::new(declared, &trusted)
    }

    #[test]
    fn a_name_in_braces_is_its_value_or_its_default_and_all_else_stays() {
        let mut variables = variables(&[("plan", "pro"), ("unknown", "x")]);
        for (text, filled) in [
            ("Hello {name}!", "Hello there!"),
            ("{plan}{plan} {place}.", "propro ."),
            ("{unknown} {Name} { name } {} { {name", "{unknown} {Name} { name } {} { {name"),
            ("{\"a\": {name}}", "{\"a\": there}"),
            ("{{name}}", "{there}"),
            ("{name", "{name"),
            ("", ""),
        ] {
            assert_eq!(variables.fill(text), filled, "{text}");
        }
        assert!(variables.set("name", "{plan} & {name}"));
        assert_eq!(variables.fill("Hello {name}, {plan}"), "Hello {plan} & {name}, pro");
        assert!(variables.set("place", &"ü".repeat(5_000)));
        assert_eq!(variables.fill("{place}").chars().count(), VALUE_MAX_CHARS);
    }

    #[test]
    fn a_page_sets_what_it_may_and_nothing_that_the_token_says() {
        let mut variables = variables(&[("name", "Ada")]);
        assert!(!variables.set("plan", "pro") && !variables.set("unknown", "x"));
        assert!(variables.set("name", "Eve"), "it may, and the token knows better");
        assert_eq!(variables.fill("{name}{plan}{unknown}"), "Ada{unknown}");
    }

    #[test]
    fn what_a_page_may_still_say_is_awaited_where_it_stands() {
        let mut variables = variables(&[("name", "Ada")]);
        assert!(
            !variables.awaits("Hello {name}")
                && !variables.awaits("{plan}")
                && !variables.awaits("{unknown}")
        );
        assert!(variables.awaits("{name} of {place}"));
        assert!(variables.set("place", ""));
        assert!(!variables.awaits("{name} of {place}"), "nothing is a value");
    }
}
