//! As much of PromQL as is needed to tell which metrics an expression reads, by which labels and in which functions.

use std::iter::Peekable;
use std::str::Chars;

/// Functions and aggregations that an expression may call. Whoever uses another one adds it here, and to what [`super::check`] knows of it.
const FUNCTIONS: [&str; 9] =
    ["sum", "count", "max", "rate", "increase", "delta", "predict_linear", "histogram_quantile", "time"];
/// Words between two operands.
const OPERATORS: [&str; 3] = ["and", "or", "unless"];

/// What an expression reads.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(crate) series: Vec<Series>,
    /// Labels that it groups by.
    pub(crate) grouped: Vec<String>,
}

/// A metric, or a series of a histogram, as an expression reads it.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Labels by which it is chosen, each with the text that it is compared with.
    pub(crate) labels: Vec<(String, String)>,
    /// Functions around it, the innermost last.
    pub(crate) functions: Vec<String>,
    /// Whether all values of a time are read, and not the newest one.
    pub(crate) has_range: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number,
    Text(String),
    Range,
    Mark(char),
}

impl Expression {
    /// Reads an expression, or says what is not understood.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let tokens = tokens(text)?;
        let mut rest = tokens.iter().peekable();
        let mut expression = Expression::default();
        // For each open bracket the function that it belongs to, if it belongs to one.
        let (mut open, mut function): (Vec<Option<String>>, Option<String>) = (Vec::new(), None);
        while let Some(token) = rest.next() {
            match token {
                Token::Word(word) if OPERATORS.contains(&word.as_str()) => {}
                Token::Word(word) if word == "by" => expression.grouped.extend(names(&mut rest)?),
                Token::Word(word) if FUNCTIONS.contains(&word.as_str()) => function = Some(word.clone()),
                Token::Word(word) => {
                    if rest.peek() == Some(&&Token::Mark('(')) {
                        return Err(format!("{word} is no function that is known"));
                    }
                    let labels = if rest.next_if_eq(&&Token::Mark('{')).is_some() {
                        matchers(&mut rest)?
                    } else {
                        Vec::new()
                    };
                    let has_range = rest.next_if_eq(&&Token::Range).is_some();
                    let functions = open.iter().flatten().cloned().collect();
                    expression.series.push(Series { name: word.clone(), labels, functions, has_range });
                }
                Token::Mark('(') => open.push(function.take()),
                Token::Mark(')') => drop(open.pop().ok_or("a bracket is closed that was not opened")?),
                Token::Mark('+' | '-' | '*' | '/' | '<' | '>' | '=' | '!' | ',') | Token::Number => {}
                other => return Err(format!("{other:?} has no place there")),
            }
        }
        if open.is_empty() { Ok(expression) } else { Err("a bracket is not closed".to_owned()) }
    }
}

type Rest<'t> = Peekable<std::slice::Iter<'t, Token>>;

/// The names in the brackets that follow.
fn names(rest: &mut Rest<'_>) -> Result<Vec<String>, String> {
    if rest.next() != Some(&Token::Mark('(')) {
        return Err("labels stand in brackets".to_owned());
    }
    let mut names = Vec::new();
    loop {
        match rest.next() {
            Some(Token::Word(name)) => names.push(name.clone()),
            Some(Token::Mark(',')) => {}
            Some(Token::Mark(')')) => return Ok(names),
            other => return Err(format!("{other:?} among labels")),
        }
    }
}

/// What stands between braces, of which the first one is read already.
fn matchers(rest: &mut Rest<'_>) -> Result<Vec<(String, String)>, String> {
    let mut labels = Vec::new();
    loop {
        match rest.next() {
            Some(Token::Word(name)) => {
                while rest.next_if(|token| matches!(token, Token::Mark('=' | '!' | '~'))).is_some() {}
                let Some(Token::Text(value)) = rest.next() else {
                    return Err(format!("{name} is compared with no text"));
                };
                labels.push((name.clone(), value.clone()));
            }
            Some(Token::Mark(',')) => {}
            Some(Token::Mark('}')) => return Ok(labels),
            other => return Err(format!("{other:?} among labels")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut rest, mut tokens) = (text.chars().peekable(), Vec::new());
    while let Some(&char) = rest.peek() {
        if char.is_ascii_alphabetic() || char == '_' {
            tokens.push(Token::Word(run(&mut rest, |char| char.is_ascii_alphanumeric() || char == '_')));
        } else if char.is_ascii_digit() {
            run(&mut rest, |char| char.is_ascii_alphanumeric() || char == '.');
            tokens.push(Token::Number);
        } else {
            rest.next();
            tokens.push(match char {
                _ if char.is_whitespace() => continue,
                '"' => Token::Text(until(&mut rest, '"')?),
                '[' => until(&mut rest, ']').map(|_| Token::Range)?,
                '(' | ')' | '{' | '}' | ',' | '=' | '!' | '~' | '<' | '>' | '+' | '-' | '*' | '/' => {
                    Token::Mark(char)
                }
                _ => return Err(format!("{char} is not known")),
            });
        }
    }
    Ok(tokens)
}

/// The characters that come next and belong to it.
fn run(rest: &mut Peekable<Chars<'_>>, belongs: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    while let Some(char) = rest.next_if(|char| belongs(*char)) {
        text.push(char);
    }
    text
}

/// The characters up to this one, which is taken as well.
fn until(rest: &mut Peekable<Chars<'_>>, end: char) -> Result<String, String> {
    let text = run(rest, |char| char != end);
    rest.next().map(|_| text).ok_or_else(|| format!("{end} is missing"))
}
