//! As much of PromQL as is needed to tell which metrics an expression reads, by which labels and in which functions, and whether an alert of a few of
//! them comes.

use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

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
    Number(String),
    Text(String),
    Range(String),
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
                    let has_range = range(&mut rest).is_some();
                    let functions = open.iter().flatten().cloned().collect();
                    expression.series.push(Series { name: word.clone(), labels, functions, has_range });
                }
                Token::Mark('(') => open.push(function.take()),
                Token::Mark(')') => drop(open.pop().ok_or("a bracket is closed that was not opened")?),
                Token::Mark('+' | '-' | '*' | '/' | '<' | '>' | '=' | '!' | ',') | Token::Number(_) => {}
                other => return Err(format!("{other:?} has no place there")),
            }
        }
        if open.is_empty() { Ok(expression) } else { Err("a bracket is not closed".to_owned()) }
    }
}

type Rest<'t> = Peekable<std::slice::Iter<'t, Token>>;

/// What an expression reads of one metric: the newest value, or by how much it has grown within a time.
#[derive(Debug)]
pub(crate) struct Read<'r> {
    pub(crate) name: &'r str,
    /// Labels by which it is chosen, each with the text that it is compared with.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) within: Option<Duration>,
}

/// The value of an expression about one thing of those that it groups by, where `read` says what is read. There is none where a comparison does not
/// hold: its alert does not come.
pub(crate) fn value(text: &str, read: &dyn Fn(&Read<'_>) -> f64) -> Result<Option<f64>, String> {
    let tokens = tokens(text)?;
    let mut evaluation = Evaluation { rest: tokens.iter().peekable(), read };
    let value = evaluation.both()?;
    match evaluation.rest.next() {
        None => Ok(value),
        Some(other) => Err(format!("{other:?} has no place there")),
    }
}

struct Evaluation<'e> {
    rest: Rest<'e>,
    read: &'e dyn Fn(&Read<'_>) -> f64,
}

impl Evaluation<'_> {
    fn both(&mut self) -> Result<Option<f64>, String> {
        let mut value = self.compared()?;
        while self.rest.next_if(|token| matches!(token, Token::Word(word) if word == "and")).is_some() {
            let other = self.compared()?;
            value = value.filter(|_| other.is_some());
        }
        Ok(value)
    }

    fn compared(&mut self) -> Result<Option<f64>, String> {
        let value = self.sum()?;
        if !self.has('>') {
            return Ok(value);
        }
        let or_equal = self.has('=');
        let Some(Token::Number(number)) = self.rest.next() else {
            return Err("it is compared with no number".to_owned());
        };
        let number: f64 = number.parse().map_err(|_| format!("{number} is not known"))?;
        Ok(value.filter(|value| if or_equal { *value >= number } else { *value > number }))
    }

    fn sum(&mut self) -> Result<Option<f64>, String> {
        let mut value = self.quotient()?;
        while self.has('+') {
            let other = self.quotient()?;
            value = value.zip(other).map(|(a, b)| a + b);
        }
        Ok(value)
    }

    fn quotient(&mut self) -> Result<Option<f64>, String> {
        let mut value = self.operand()?;
        while self.has('/') {
            let other = self.operand()?;
            value = value.zip(other).map(|(a, b)| a / b);
        }
        Ok(value)
    }

    fn operand(&mut self) -> Result<Option<f64>, String> {
        if self.has('(') {
            let value = self.both()?;
            return if self.has(')') { Ok(value) } else { Err("a bracket is not closed".to_owned()) };
        }
        let Some(Token::Word(word)) = self.rest.next() else { return Err("something is missing".to_owned()) };
        match word.as_str() {
            "sum" | "max" => {
                if self.rest.next_if(|token| matches!(token, Token::Word(word) if word == "by")).is_some() {
                    names(&mut self.rest)?;
                }
                self.operand()
            }
            "rate" => {
                let (grown, within) = self.bracketed()?;
                Ok(Some(grown / within.as_secs_f64()))
            }
            "increase" => Ok(Some(self.bracketed()?.0)),
            name => Ok(Some(self.series(name)?.0)),
        }
    }

    /// By how much a metric in brackets has grown, and within what time.
    fn bracketed(&mut self) -> Result<(f64, Duration), String> {
        let (true, Some(Token::Word(name))) = (self.has('('), self.rest.next()) else {
            return Err("a metric is missing".to_owned());
        };
        let (grown, within) = self.series(name)?;
        let within = within.ok_or("it is read over no time")?;
        if self.has(')') { Ok((grown, within)) } else { Err("a bracket is not closed".to_owned()) }
    }

    fn series(&mut self, name: &str) -> Result<(f64, Option<Duration>), String> {
        let labels = if self.has('{') { matchers(&mut self.rest)? } else { Vec::new() };
        let within = range(&mut self.rest).map(time).transpose()?;
        Ok(((self.read)(&Read { name, labels, within }), within))
    }

    fn has(&mut self, mark: char) -> bool {
        self.rest.next_if(|token| matches!(token, Token::Mark(found) if *found == mark)).is_some()
    }
}

/// What stands in square brackets next, if anything does.
fn range<'t>(rest: &mut Rest<'t>) -> Option<&'t str> {
    match rest.next_if(|token| matches!(token, Token::Range(_)))? {
        Token::Range(range) => Some(range),
        _ => None,
    }
}

/// A time of minutes or hours.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let of = |unit: char, seconds: u64| Some(seconds * text.strip_suffix(unit)?.parse::<u64>().ok()?);
    let seconds = of('m', 60).or_else(|| of('h', 3_600)).ok_or_else(|| format!("{text} is not known"))?;
    Ok(Duration::from_secs(seconds))
}

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
            tokens.push(Token::Number(run(&mut rest, |char| char.is_ascii_alphanumeric() || char == '.')));
        } else {
            rest.next();
            tokens.push(match char {
                _ if char.is_whitespace() => continue,
                '"' => Token::Text(until(&mut rest, '"')?),
                '[' => Token::Range(until(&mut rest, ']')?),
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
