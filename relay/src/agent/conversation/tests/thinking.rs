//! What becomes of a question when another one is asked.

use super::super::outbox::Outbox;
use super::super::thinking::Thinking;
use super::*;
use crate::agent::Means;
use crate::money::tab::RequestId;
use crate::provider::Message;

#[test]
fn a_question_that_is_asked_anew_gives_up_the_one_before_and_says_what_that_used() {
    let (mut thinking, mut outbox) = (Thinking::new(&[0], &[], 100), Outbox::default());
    let question = || vec![Message::User("What is it?".to_owned())];
    assert!(thinking.ask(Means::Ample, question(), Vec::new(), &mut outbox));
    assert!(thinking.ask(Means::Ample, question(), Vec::new(), &mut outbox));
    let did: Vec<AgentOutput> = std::iter::from_fn(|| outbox.pop()).collect();
    let first = RequestId(0);
    let is_spent = |output: &AgentOutput| matches!(output, AgentOutput::Spent { request, used: Some(_), .. } if *request == first);
    assert!(did.contains(&AgentOutput::Cancel { request: first }), "{did:?}");
    assert_eq!(did.iter().filter(|output| is_spent(output)).count(), 1, "{did:?}");
    assert!(thinking.is_busy(), "the second one is under way");
}
