//! Calls of tools: each is stored before anybody is asked to run it, so that whoever goes on with the call knows of it.

use protocol::relay::Saying;
use protocol::{ToolCall, ToolCancel};

use super::{Call, Output};
use crate::agent::AgentInput;
use crate::agent::tool::{Called, Runs, ToolNote};

impl Call {
    /// Has a call stored. It is made when that is done.
    pub(super) fn call_tool(&mut self, called: Called) {
        self.calls.push_back(called.clone());
        // What the agent says in the answer that is being given stands behind the call: it goes on after that. So does what the user has begun to
        // say.
        let begun = self.begun.front().map_or(self.next_turn, |begun| begun.turn);
        let turn = self.answer.as_ref().map_or(begun, |answer| answer.turn.turn);
        self.outputs.push_back(Output::NoteTool(ToolNote::Called { called, turn }));
    }

    /// A call is stored: its tool is to be run, unless it is not wanted any more or the user has hung up.
    pub(super) fn run_tool(&mut self, call_id: &str) {
        let place = self.calls.iter().position(|called| called.call_id == call_id);
        let Some(called) = place.and_then(|place| self.calls.remove(place)) else { return };
        if self.hung_up.is_some() {
            return;
        }
        self.outputs.push_back(match called.runs {
            Runs::Page => {
                let Called { call_id, name, arguments, .. } = called;
                Output::Say(Saying::ToolCall(ToolCall { seq: 0, call_id, name, arguments }))
            }
            Runs::Webhook => Output::RunTool(called),
        });
    }

    /// What comes of a call is not wanted any more.
    pub(super) fn cancel_tool(&mut self, call_id: String, runs: Runs) {
        let before = self.calls.len();
        self.calls.retain(|called| called.call_id != call_id);
        if self.calls.len() < before {
            // Nobody was asked to run it.
            return;
        }
        self.outputs.push_back(match runs {
            Runs::Page => Output::Say(Saying::ToolCancel(ToolCancel { seq: 0, call_id })),
            Runs::Webhook => Output::CancelTool(call_id),
        });
    }

    /// Something has come of a call, as the one who runs its tool says.
    pub(super) fn tell_result(&mut self, call_id: &str, from: Runs, output: &str, is_error: bool) {
        self.tell_agent(AgentInput::ToolResult { call_id, from, output, is_error });
    }
}
