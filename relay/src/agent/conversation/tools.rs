//! The calls of tools that a conversation has under way.
//!
//! A model that calls tools is told one output for each call: what the tool gave, what went wrong, or that it took too long. The answer waits
//! for all calls of its last step, and then the model is asked again, until it answers in words or has used up its steps. When the user
//! talks meanwhile the calls go on, and the answer does not wait any more: what comes of them then is late, and is told by itself when it
//! is quiet. A call whose arguments do not fit its tool's schema never leaves the machine.

use std::time::Duration;

use protocol::Time;

use super::memory::Memory;
use super::outbox::Outbox;
use crate::agent::AgentOutput;
use crate::agent::tool::{Called, Runs, StoredCall, Tool, ToolOutput, Toolbox};
use crate::provider::{self, ToolCall};

/// Calls of one step that are run. The model is told of any more that they were not.
pub(super) const CALLS_MAX: usize = 16;
/// Calls that are under way, of all steps together. Each of them is remembered until a model knows what came of it.
pub(super) const RUNNING_MAX: usize = 64;
/// When nothing was heard for so long since a model called tools, the agent says something,
const FILLER_AFTER: Duration = Duration::from_secs(1);
/// and again whenever nothing was heard for so long since that.
const FILLER_EVERY: Duration = Duration::from_secs(5);

/// The calls that are under way.
#[derive(Debug, Default)]
pub(super) struct Tools {
    toolbox: Toolbox,
    /// How many calls were made.
    made: u32,
    /// The step of what a model writes now.
    step: u32,
    /// How often a model has called tools in this turn.
    steps: u32,
    running: Vec<Running>,
    /// The answer waits for the calls of the step before.
    is_awaited: bool,
    /// Something is to be said where nothing is heard: when, unless something is heard meanwhile, and how long after that.
    filler: Option<(Time, Duration)>,
    /// What the agent has said is heard until then.
    sounds_until: Time,
    /// Something has come that no answer has waited for.
    is_late: bool,
    /// Calls that were under way at another relay, until they go on.
    stored: Vec<Called>,
}

/// A call that is under way.
#[derive(Debug)]
struct Running {
    call_id: String,
    /// The answer waits for it.
    is_awaited: bool,
    runs: Runs,
    due: Time,
    deadline: Duration,
    max_result_bytes: usize,
}

impl Tools {
    /// With these tools, and what was called at another relay.
    pub(super) fn new(toolbox: Toolbox, stored: &[StoredCall]) -> Tools {
        let open = stored.iter().filter(|stored| stored.output.is_none());
        Tools { toolbox, stored: open.map(|stored| stored.called.clone()).collect(), ..Tools::default() }
    }

    /// What a model may call now.
    pub(super) fn offers(&self) -> Vec<provider::Tool> {
        if self.steps >= self.toolbox.max_steps {
            return Vec::new();
        }
        self.toolbox.tools.iter().map(Tool::offer).collect()
    }

    /// The step of what a model writes now.
    pub(super) fn step(&self) -> u32 {
        self.step
    }

    /// Another turn begins, whose answer knows of everything that has come.
    pub(super) fn begin_turn(&mut self) {
        (self.steps, self.is_late) = (0, false);
    }

    /// A model calls these. `false` if it may not any more.
    pub(super) fn call(
        &mut self,
        now: Time,
        calls: Vec<ToolCall>,
        outbox: &mut Outbox,
        memory: &mut Memory,
    ) -> bool {
        if self.steps >= self.toolbox.max_steps {
            return false;
        }
        let calls: Vec<Called> = calls.into_iter().map(|call| self.name(call)).collect();
        memory.called(self.step, &calls);
        for (place, called) in calls.into_iter().enumerate() {
            match self.check(&called, place) {
                Ok((deadline, max_result_bytes)) => {
                    self.run(now, called, true, (deadline, max_result_bytes), outbox);
                }
                Err(why) => memory.output(&called.call_id, &ToolOutput::error(why)),
            }
        }
        (self.step, self.steps, self.is_awaited) = (self.step + 1, self.steps + 1, true);
        if !self.toolbox.filler.is_empty() {
            self.filler = Some((self.sounds_until.max(now) + FILLER_AFTER, FILLER_AFTER));
        }
        true
    }

    /// Whether there are calls that were under way at another relay and do not go on yet.
    pub(super) fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Goes on with the calls that were under way at another relay. The answer waits for them if nothing was said since.
    pub(super) fn resume(&mut self, now: Time, is_awaited: bool, outbox: &mut Outbox, memory: &mut Memory) {
        for called in std::mem::take(&mut self.stored) {
            match self.bounds(&called.name) {
                Some(bounds) => {
                    self.run(now, called, is_awaited, bounds, outbox);
                    self.is_awaited |= is_awaited;
                }
                None => {
                    self.settle(
                        &called.call_id,
                        ToolOutput::error(self.unknown(&called.name)),
                        outbox,
                        memory,
                    );
                }
            }
        }
    }

    /// A tool has given something, as the one who runs it says.
    pub(super) fn handle_result(
        &mut self,
        call_id: &str,
        from: Runs,
        output: &str,
        is_error: bool,
        outbox: &mut Outbox,
        memory: &mut Memory,
    ) {
        let is_it = |running: &Running| running.call_id == call_id && running.runs == from;
        let Some(place) = self.running.iter().position(is_it) else { return };
        let running = self.running.remove(place);
        let output = if output.len() > running.max_result_bytes {
            let (bytes, limit) = (output.len(), running.max_result_bytes);
            ToolOutput::error(format!(
                "The tool's result is too long: {bytes} bytes, and at most {limit} are taken."
            ))
        } else {
            ToolOutput { output: output.to_owned(), is_error }
        };
        self.finish(&running, output, outbox, memory);
    }

    /// Ends the calls that have taken too long.
    pub(super) fn handle_timeout(&mut self, now: Time, outbox: &mut Outbox, memory: &mut Memory) {
        while let Some(place) = self.running.iter().position(|running| running.due <= now) {
            let running = self.running.remove(place);
            let (call_id, runs) = (running.call_id.clone(), running.runs);
            outbox.push(AgentOutput::CancelTool { call_id, runs });
            let seconds = running.deadline.as_secs();
            let why = format!(
                "The tool has not answered within {seconds} s. Nobody knows whether it has done anything."
            );
            self.finish(&running, ToolOutput::error(why), outbox, memory);
        }
    }

    /// What the agent is to say now since nothing was heard for a while, and nothing `is_coming`.
    pub(super) fn fill(&mut self, now: Time, is_coming: bool) -> Option<&str> {
        let (due, after) = self.filler.as_mut().filter(|(due, _)| *due <= now)?;
        if !is_coming {
            *after = FILLER_EVERY;
        }
        *due = now + *after;
        (!is_coming).then_some(self.toolbox.filler.as_str())
    }

    /// The agent gives sound, which is heard behind what it has given before.
    pub(super) fn agent_sounds(&mut self, now: Time, samples: usize, rate: u32) {
        let length = Duration::from_micros(samples as u64 * 1_000_000 / u64::from(rate.max(1)));
        self.sounds_until = self.sounds_until.max(now) + length;
        if let Some((due, after)) = &mut self.filler {
            *due = (*due).max(self.sounds_until + *after);
        }
    }

    /// The answer is over: nothing of it is heard any more.
    pub(super) fn answer_over(&mut self, now: Time) {
        self.sounds_until = self.sounds_until.min(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let running = self.running.iter().map(|running| running.due);
        let stored = (!self.stored.is_empty()).then_some(Time::ZERO);
        running.chain(self.filler.map(|(due, _)| due)).chain(stored).min()
    }

    /// The answer comes, or is only read: there is no need to pass the time.
    pub(super) fn is_heard(&mut self) {
        self.filler = None;
    }

    /// Whether the answer waits for what comes of calls.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Whether no call is under way, and everything that has come of one was told.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.stored.is_empty() && !self.is_awaited && !self.is_late
    }

    /// Whether everything has come that the answer waits for. Then it does not wait any more, and the model is told of whatever has come besides.
    pub(super) fn take_ready(&mut self) -> bool {
        let is_ready = self.is_awaited && !self.running.iter().any(|running| running.is_awaited);
        self.is_awaited &= !is_ready;
        self.is_late &= !is_ready;
        is_ready
    }

    /// Whether something has come that no answer has waited for, and that the model has not been told.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// The answer does not wait any more: the user says something.
    pub(super) fn interrupt(&mut self) {
        (self.is_awaited, self.filler) = (false, None);
        self.running.iter_mut().for_each(|running| running.is_awaited = false);
    }

    /// Nobody waits for anything any more. Whoever goes on with the call knows what was under way.
    pub(super) fn leave(&mut self) {
        self.running.clear();
        self.stored.clear();
        (self.is_awaited, self.is_late, self.filler) = (false, false, None);
    }

    fn run(
        &mut self,
        now: Time,
        called: Called,
        is_awaited: bool,
        (deadline, max_result_bytes): (Duration, usize),
        outbox: &mut Outbox,
    ) {
        self.running.push(Running {
            call_id: called.call_id.clone(),
            is_awaited,
            runs: called.runs,
            due: now + deadline,
            deadline,
            max_result_bytes,
        });
        outbox.push(AgentOutput::CallTool(called));
    }

    fn finish(&mut self, running: &Running, output: ToolOutput, outbox: &mut Outbox, memory: &mut Memory) {
        // What nobody waits for is told together.
        self.is_late |= !running.is_awaited && self.running.iter().all(|other| other.is_awaited);
        self.settle(&running.call_id, output, outbox, memory);
    }

    fn settle(&mut self, call_id: &str, output: ToolOutput, outbox: &mut Outbox, memory: &mut Memory) {
        memory.output(call_id, &output);
        outbox.push(AgentOutput::ToolOutput { call_id: call_id.to_owned(), output });
    }

    fn name(&mut self, ToolCall { id, name, arguments }: ToolCall) -> Called {
        let call_id = format!("{}{}", self.toolbox.prefix, self.made);
        self.made += 1;
        let runs = self.find(&name).map_or(Runs::Page, |tool| tool.runs);
        Called { call_id, model_id: id, name, arguments, runs }
    }

    /// Whether a call may be run, the one at this place of its step: for how long, and how long its output may be.
    fn check(&self, called: &Called, place: usize) -> Result<(Duration, usize), String> {
        if place >= CALLS_MAX {
            return Err(format!("Not called: at most {CALLS_MAX} tools are called at once."));
        }
        if self.running.len() >= RUNNING_MAX {
            return Err(format!("Not called: {RUNNING_MAX} calls are under way already."));
        }
        let tool = self.find(&called.name).ok_or_else(|| self.unknown(&called.name))?;
        tool.parameters.check(&called.arguments)?;
        Ok((tool.deadline, tool.max_result_bytes))
    }

    fn bounds(&self, name: &str) -> Option<(Duration, usize)> {
        self.find(name).map(|tool| (tool.deadline, tool.max_result_bytes))
    }

    fn find(&self, name: &str) -> Option<&Tool> {
        self.toolbox.tools.iter().find(|tool| tool.name == name)
    }

    fn unknown(&self, name: &str) -> String {
        let there: Vec<&str> = self.toolbox.tools.iter().map(|tool| tool.name.as_str()).collect();
        let name: String = name.chars().take(64).collect();
        format!("There is no tool `{name}`, only: {}.", there.join(", "))
    }
}
