//! Who an agent is, and whom it asks.

use std::time::Duration;

use super::floor::TurnTaking;
use super::quiet::Patience;
use super::variables::Variable;
use crate::provider::Skills;

/// How an agent is to behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// What the model is told before everything else; may be empty.
    pub instructions: String,
    /// What the agent says when a conversation begins; may be empty.
    pub greeting: String,
    /// The longest answer, in tokens.
    pub max_output_tokens: u32,
    /// How much of the conversation the model is told, in tokens as far as they can be told from the text.
    pub memory_tokens: u32,
    /// How it takes turns with the user.
    pub turn_taking: TurnTaking,
    /// The names that stand in braces in its instructions and its greeting.
    pub variables: Vec<Variable>,
    /// Names and values that the user's token has for them.
    pub values: Vec<(String, String)>,
    /// What it does when nobody says anything.
    pub patience: Patience,
    /// A user who talks for so long without an end is answered all the same. Zero lets everybody talk on.
    pub longest_turn: Duration,
    /// What it says when the call has to end because its money or its time is used up; nothing if it is empty.
    pub limit_goodbye: String,
}

impl Persona {
    /// The language that is spoken, if that is known.
    pub(super) fn language(&self) -> Option<&str> {
        self.turn_taking.language.as_deref()
    }
}

impl Default for Persona {
    fn default() -> Persona {
        Persona {
            instructions: String::new(),
            greeting: String::new(),
            max_output_tokens: 500,
            memory_tokens: 8_000,
            turn_taking: TurnTaking::default(),
            variables: Vec::new(),
            values: Vec::new(),
            patience: Patience::default(),
            longest_turn: Duration::ZERO,
            limit_goodbye: String::new(),
        }
    }
}

/// Whom an agent asks: places among its providers, each list in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// Recognisers; without one the agent reads what is typed.
    pub recognisers: Vec<(usize, Skills)>,
    /// Language models.
    pub models: Vec<usize>,
    /// Language models that are asked before those when money is scarce.
    pub near_cap: Vec<usize>,
    /// Voices; without one the agent answers in text.
    pub voices: Vec<(usize, Skills)>,
}
