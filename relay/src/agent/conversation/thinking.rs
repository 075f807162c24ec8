//! How a conversation finds its answers: it asks a language model, and if that one fails another.

use super::super::AgentOutput;
use super::outbox::Outbox;
use crate::agent::Means;
use crate::money::bill::{AtMost, Quantity, TokenUsage};
use crate::money::tab::RequestId;
use crate::provider::{Ask, Chat, Event, Failure, Message, Tool, ToolCall};

/// Tokens that a message costs beside its text, at most: OpenAI's own models take three and a role.
const MESSAGE_TOKENS: u64 = 8;
/// Tokens that a tool costs beside its name, its description and its schema, at most.
const TOOL_TOKENS: u64 = 32;
/// Tokens of what a provider tells its model about tools at all, at most: Anthropic's pricing names up to 530 ("Tool use", "Pricing").
const TOOLS_TOKENS: u64 = 600;
/// Bytes of text for one token where nobody has counted them: the usual rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;
/// Bytes for one token of an answer that is sent letter by letter, and so cuts tokens apart: what a Chinese or Japanese character has, of which
/// many tokenizers make one.
const BYTES_PER_SMALL_TOKEN: u64 = 3;
/// Bytes of such an answer for each token that it may have, above which it is too long: more than the tokens of English text have, so that nobody is
/// cut short who keeps to what was asked for.
const BYTES_PER_LARGE_TOKEN: u64 = 5;

/// What a model is told last when little money is left.
pub(super) const BE_BRIEF: &str =
    "[For your information, not said by the user: answer in one or two short sentences.]";
/// The longest answer is so many times shorter then,
const BRIEF_PART: u32 = 3;
/// but not shorter than so many tokens.
const BRIEF_TOKENS: u32 = 120;

/// Asks models for answers, one at a time.
#[derive(Debug)]
pub(super) struct Thinking {
    /// Their places among the agent's providers, in the order in which they are asked. The first ones are for when money is scarce.
    models: Vec<usize>,
    /// So many of them are asked only then.
    near_cap: usize,
    /// The longest answer, in tokens.
    max_output_tokens: u32,
    asked: Option<Asked>,
    /// The answer is prepared: nobody knows yet whether it is wanted.
    is_draft: bool,
    /// What it has used, if it is whole.
    owed: Option<Owed>,
}

/// What a whole answer has used that may not be wanted.
#[derive(Debug)]
struct Owed {
    request: RequestId,
    used: TokenUsage,
    estimated: bool,
    provider_id: Option<String>,
}

/// A request, and what has come of it.
#[derive(Debug)]
struct Asked {
    request: RequestId,
    /// Which of the models it is.
    model: usize,
    messages: Vec<Message>,
    tools: Vec<Tool>,
    prompt_bytes: u64,
    /// The longest answer to it, in tokens.
    max_output_tokens: u32,
    /// What the model calls.
    calls: Vec<ToolCall>,
    /// Pieces of the answer. Most servers send a token at a time, some send more of them or parts of one.
    deltas: u64,
    /// How many of them had more than one character.
    longer: u64,
    /// Bytes of the answer, and of what was thought beside it.
    bytes: u64,
    /// What the provider has said so far that it used.
    usage: Option<TokenUsage>,
    /// It has reached its provider.
    is_sent: bool,
    /// Words of the answer have come.
    has_words: bool,
    /// It may call tools.
    has_tools: bool,
}

/// A question that another model may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Which of the models is next.
    model: usize,
    messages: Vec<Message>,
    tools: Vec<Tool>,
    max_output_tokens: u32,
}

/// What comes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thought {
    /// More words of the answer.
    Words(String),
    /// The model says that it stops: there are perhaps no more words.
    Stopped,
    /// There are no more words, and this is to be called; not empty.
    Calls(Vec<ToolCall>),
    /// There are no more words.
    Over,
    /// The model has broken off: there are no more words, or none at all. After words another model may be asked this, if there is one.
    Failed(Option<Box<Question>>),
}

impl Thinking {
    pub(super) fn new(models: &[usize], near_cap: &[usize], max_output_tokens: u32) -> Thinking {
        let models = near_cap.iter().chain(models).copied().collect();
        Thinking {
            models,
            near_cap: near_cap.len(),
            max_output_tokens,
            asked: None,
            is_draft: false,
            owed: None,
        }
    }

    /// Whether an answer is being found.
    pub(super) fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks for the next answer, as long and by as dear a model as these means allow. Without a model there is none: `false`.
    pub(super) fn ask(
        &mut self,
        means: Means,
        mut messages: Vec<Message>,
        tools: Vec<Tool>,
        outbox: &mut Outbox,
    ) -> bool {
        let first = self.first(means);
        let most = self.max_output_tokens;
        if means == Means::Ample {
            return self.ask_model(first, most, messages, tools, outbox);
        }
        // Behind everything else, so that what comes before it is still in the provider's cache.
        messages.push(Message::User(BE_BRIEF.to_owned()));
        let brief = (most / BRIEF_PART).max(BRIEF_TOKENS.min(most));
        self.ask_model(first, brief, messages, tools, outbox)
    }

    /// The model that is asked first with these means.
    fn first(&self, means: Means) -> usize {
        if means == Means::Scarce { 0 } else { self.near_cap }
    }

    /// Asks for an answer that may not be wanted. [`Thinking::confirm`] or [`Thinking::discard`] says so.
    pub(super) fn prepare(&mut self, messages: Vec<Message>, tools: Vec<Tool>, outbox: &mut Outbox) -> bool {
        self.is_draft = self.ask(Means::Ample, messages, tools, outbox);
        self.is_draft
    }

    /// The answer that was prepared is wanted.
    pub(super) fn confirm(&mut self, outbox: &mut Outbox) {
        self.is_draft = false;
        if let Some(Owed { request, used, estimated, provider_id }) = self.owed.take() {
            let used = Some(Quantity::Tokens(used));
            outbox.push(AgentOutput::Spent { request, used, estimated, provider_id });
        }
    }

    /// The answer that was prepared is not wanted: what it has used was used for nothing.
    pub(super) fn discard(&mut self, outbox: &mut Outbox) {
        self.is_draft = false;
        if let Some(Owed { request, used, estimated, provider_id }) = self.owed.take() {
            let used = Some(Quantity::Eager(used));
            outbox.push(AgentOutput::Spent { request, used, estimated, provider_id });
        }
        if let Some(asked) = self.asked.take() {
            outbox.cancel(asked.request, asked.is_sent.then(|| Quantity::Eager(estimate(&asked))));
        }
    }

    /// There is too little money for this request, which was not made. `false` if it is none of this machine.
    pub(super) fn refuse(&mut self, request: RequestId, outbox: &mut Outbox) -> bool {
        let refused = self.asked.take_if(|asked| asked.request == request);
        if refused.is_some() {
            outbox.spent(request, None);
        }
        refused.is_some()
    }

    /// What is used at most by the question that is asked when the user has said so many bytes more: by whom, and how much.
    pub(super) fn expects(
        &self,
        means: Means,
        messages: &[Message],
        tools: &[Tool],
        bytes: u64,
    ) -> Option<(usize, AtMost)> {
        let AtMost::Tokens { prompt, output } = at_most(messages, tools, self.max_output_tokens) else {
            return None;
        };
        let prompt = prompt + bytes + MESSAGE_TOKENS;
        Some((*self.models.get(self.first(means))?, AtMost::Tokens { prompt, output }))
    }

    /// A provider says something. `None` if that changes nothing, or is about no question of this machine.
    pub(super) fn handle_event(
        &mut self,
        request: RequestId,
        event: &Event,
        outbox: &mut Outbox,
    ) -> Option<Thought> {
        let asked = self.asked.as_mut().filter(|asked| asked.request == request)?;
        asked.is_sent |= !matches!(event, Event::Failed(_));
        match event {
            Event::Text(text) => {
                asked.deltas += 1;
                asked.bytes += text.len() as u64;
                asked.longer += u64::from(text.chars().nth(1).is_some());
                // Spaces before the first word are none of the answer: there may be no word at all.
                asked.has_words |= !text.trim().is_empty();
                asked.has_words.then(|| Thought::Words(text.clone()))
            }
            Event::Thought { bytes } => {
                asked.deltas += 1;
                asked.bytes += *bytes as u64;
                asked.longer += u64::from(*bytes > char::MAX_LEN_UTF8);
                None
            }
            Event::Stopped => asked.has_words.then_some(Thought::Stopped),
            Event::ToolCall(call) => {
                asked.deltas += 1;
                asked.bytes += call.bytes() as u64;
                // It may be called only once the answer is whole: another model may yet have to answer.
                asked.calls.push(call.clone());
                None
            }
            Event::Usage(Quantity::Tokens(usage)) => {
                asked.usage = Some(*usage);
                None
            }
            Event::Finished(answer) => {
                let asked = self.asked.take()?;
                let (estimated, provider_id) = (answer.usage.is_none(), answer.request_id.clone());
                let used = answer.usage.unwrap_or_else(|| Quantity::Tokens(estimate(&asked)));
                // What it calls without having been offered anything is no answer either.
                let may_call = asked.has_tools && !asked.calls.is_empty();
                let is_empty = !asked.has_words && !may_call;
                match used {
                    Quantity::Tokens(used) if self.is_draft && !is_empty => {
                        self.owed = Some(Owed { request, used, estimated, provider_id });
                    }
                    used => {
                        let used = Some(match used {
                            Quantity::Tokens(used) if self.is_draft => Quantity::Eager(used),
                            used => used,
                        });
                        outbox.push(AgentOutput::Spent { request, used, estimated, provider_id });
                    }
                }
                if is_empty {
                    return self.stand_in(asked, outbox);
                }
                Some(if asked.calls.is_empty() { Thought::Over } else { Thought::Calls(asked.calls) })
            }
            Event::Failed(failure) => self.fail(failure, outbox),
            Event::Ready
            | Event::Named(_)
            | Event::Usage(_)
            | Event::Heard(_)
            | Event::Unanswered { .. }
            | Event::Turn(_)
            | Event::Sound(_)
            | Event::Spoken(_) => None,
        }
    }

    /// Whether the answer is longer than was asked for: whoever gives it goes on at somebody's expense.
    pub(super) fn is_too_long(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| {
            let most = u64::from(asked.max_output_tokens);
            asked.deltas > most && (!asked.is_by_letter() || asked.bytes > BYTES_PER_LARGE_TOKEN * most)
        })
    }

    /// Asks the next model what another one has not answered.
    pub(super) fn ask_again(&mut self, question: Question, outbox: &mut Outbox) {
        let Question { model, messages, tools, max_output_tokens } = question;
        self.ask_model(model, max_output_tokens, messages, tools, outbox);
    }

    /// Gives up the question, if there is one: what has come is billed as far as can be told, and nothing if it has not left.
    pub(super) fn give_up(&mut self, outbox: &mut Outbox) {
        if let Some(asked) = self.asked.take() {
            outbox.cancel(asked.request, asked.is_sent.then(|| Quantity::Tokens(estimate(&asked))));
        }
    }

    fn ask_model(
        &mut self,
        model: usize,
        max_output_tokens: u32,
        messages: Vec<Message>,
        tools: Vec<Tool>,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(&provider) = self.models.get(model) else { return false };
        // What was asked before and is not answered is not wanted any more, and used what it used.
        self.give_up(outbox);
        let prompt_bytes = prompt_bytes(&messages, &tools);
        let at_most = at_most(&messages, &tools, max_output_tokens);
        let has_tools = !tools.is_empty();
        // Only where another model could be asked is it worth to know what was asked.
        let is_last = model + 1 >= self.models.len();
        let (again, tools_again) =
            if is_last { (Vec::new(), Vec::new()) } else { (messages.clone(), tools.clone()) };
        let ask = Ask::Chat(Chat { messages, tools, max_output_tokens });
        let request = outbox.ask(provider, ask, at_most);
        self.asked = Some(Asked {
            request,
            model,
            messages: again,
            tools: tools_again,
            prompt_bytes,
            max_output_tokens,
            calls: Vec::new(),
            deltas: 0,
            longer: 0,
            bytes: 0,
            usage: None,
            is_sent: false,
            has_words: false,
            has_tools,
        });
        true
    }

    fn fail(&mut self, failure: &Failure, outbox: &mut Outbox) -> Option<Thought> {
        let asked = self.asked.take()?;
        // A provider that never took the question, or refused it, bills nothing. One that broke off has read it.
        let is_billed = asked.bytes > 0 || asked.usage.is_some() || failure.kind.may_be_billed();
        let quantity = if self.is_draft { Quantity::Eager } else { Quantity::Tokens };
        outbox.spent(asked.request, is_billed.then(|| quantity(estimate(&asked))));
        self.stand_in(asked, outbox)
    }

    /// Nothing more comes of this question. The next model is asked it at once if there were no words, and else should nobody have heard them.
    fn stand_in(&mut self, asked: Asked, outbox: &mut Outbox) -> Option<Thought> {
        let Asked { model, max_output_tokens, messages, tools, has_words, .. } = asked;
        let model = model + 1;
        let question = Question { model, messages, tools, max_output_tokens };
        let question = (model < self.models.len()).then(|| Box::new(question));
        match question {
            Some(question) if !has_words => {
                self.ask_again(*question, outbox);
                None
            }
            question => Some(Thought::Failed(question)),
        }
    }
}

impl Asked {
    /// Whether it is answered letter by letter, which tells nothing of its tokens. A few pieces of such an answer have more, such as a space before
    /// the first letter, or what might have been a tag and is none.
    fn is_by_letter(&self) -> bool {
        self.longer * 8 <= self.deltas
    }
}

/// What a request has used of which nobody tells: for the answer the larger of its bytes by four and of its pieces, of letters as far as there are
/// three bytes for each of them, and never less than the provider has said by then.
fn estimate(asked: &Asked) -> TokenUsage {
    let most = if asked.is_by_letter() { asked.bytes.div_ceil(BYTES_PER_SMALL_TOKEN) } else { u64::MAX };
    let pieces = asked.deltas.min(most);
    let output = asked.bytes.div_ceil(BYTES_PER_TOKEN).max(pieces).min(asked.max_output_tokens.into());
    match asked.usage {
        Some(said) => TokenUsage { output: said.output.max(output), ..said },
        None => TokenUsage {
            input: asked.prompt_bytes.div_ceil(BYTES_PER_TOKEN),
            output,
            ..TokenUsage::default()
        },
    }
}

/// What a question with an answer of so many tokens uses at most.
fn at_most(messages: &[Message], tools: &[Tool], max_output_tokens: u32) -> AtMost {
    // Of what was called a model is told even where nothing may be called any more.
    let has_called = messages.iter().any(|message| matches!(message, Message::ToolOutput { .. }));
    let about_tools = if tools.is_empty() && !has_called { 0 } else { TOOLS_TOKENS };
    // No tokenizer makes more tokens of a text than it has bytes.
    let prompt = prompt_bytes(messages, tools)
        + MESSAGE_TOKENS * (messages.len() as u64 + 1)
        + TOOL_TOKENS * tools.len() as u64
        + about_tools;
    AtMost::Tokens { prompt, output: max_output_tokens.into() }
}

fn prompt_bytes(messages: &[Message], tools: &[Tool]) -> u64 {
    let bytes = messages.iter().map(Message::bytes).chain(tools.iter().map(Tool::bytes));
    bytes.sum::<usize>() as u64
}
