//! What has to be true, at each step and at the end of a call.

mod agents;
mod credits;

use std::collections::{BTreeMap, BTreeSet};

use ::relay::NanoUsd;
use ::relay::call::Turn;
use ::relay::money::bill::{AtMost, ItemPrice, Quantity};
use ::relay::money::budget::Caps;
use ::relay::money::ledger::LedgerRow;
use ::relay::money::meter::{REPEATED_SAMPLE, UNHEARD_SAMPLE};
use ::relay::money::tab::RequestId;
use ::relay::records::store::{SessionRow, TurnRow};
use ::relay::session::machine::Departure;
use protocol::{CloseCode, Mark, Role};

use super::page::TYPED;
use super::session::{GOODBYE, Live};
use super::truth::{End, Epoch, OTHER};
use super::{ACCOUNT, USER, World};
use crate::watched::Log;

/// Whether it is what an agent says when there is no more money.
fn is_goodbye(row: &TurnRow) -> bool {
    row.turn.role == Role::Agent && row.turn.text == GOODBYE
}

/// Whether the audio was played again after a take-over, and not given to another recogniser.
fn is_played_again(row: &LedgerRow) -> bool {
    row.unit == REPEATED_SAMPLE && row.key.contains(".again")
}

/// How many samples came while no recogniser was there to hear them, and were given up or committed before one was.
fn unheard(ledger: &[LedgerRow]) -> u64 {
    ledger.iter().filter(|row| row.unit == UNHEARD_SAMPLE).map(|row| row.quantity).sum()
}

/// What was heard once more, or by nobody, costs nothing, and is no more than that.
fn check_repeated(row: &SessionRow, ledger: &[LedgerRow], epochs: &[Epoch]) -> Result<(), String> {
    let given: u64 = epochs.iter().map(|epoch| epoch.log.lock().samples).sum();
    let mut repeated = 0;
    for again in ledger.iter().filter(|row| [REPEATED_SAMPLE, UNHEARD_SAMPLE].contains(&&*row.unit)) {
        if again.cost > NanoUsd::ZERO {
            return Err(format!("what was heard again, or by nobody, costs something: {again:?}"));
        }
        // What a recogniser heard that stands in for another, the agent has heard once.
        if is_played_again(again) {
            repeated += again.quantity;
        }
    }
    let unheard = unheard(ledger);
    if row.audio_samples + repeated + unheard > given {
        let metered = row.audio_samples;
        return Err(format!(
            "{metered} samples are metered, {repeated} heard again and {unheard} by nobody, of {given}"
        ));
    }
    Ok(())
}

/// Who began to speak before a text was typed has the lower number, however late the words of that came.
fn check_order(turns: &[TurnRow], epochs: &[Epoch]) -> Result<(), String> {
    // What another relay goes on with it numbers as it hears it.
    let [epoch] = epochs else { return Ok(()) };
    let users = || turns.iter().map(|row| &row.turn).filter(|turn| turn.role == Role::User);
    for (start, text) in &epoch.log.lock().overtaken {
        // Words that come later still begin a turn of their own there, which is behind the first.
        let spoken = users().filter(|turn| turn.start == *start && !turn.text.starts_with("typed "));
        let spoken = spoken.min_by_key(|turn| turn.turn);
        let typed = users().find(|turn| turn.text == *text);
        if let (Some(spoken), Some(typed)) = (spoken, typed)
            && spoken.turn > typed.turn
        {
            return Err(format!("{typed:?} was typed after {spoken:?} had begun"));
        }
    }
    Ok(())
}

impl World<'_> {
    /// No budget is overshot, whatever is spent and set aside. Beyond it goes only what nobody could refuse any more: at most what a session had
    /// set aside when a new day begins on which there is no room for that, and what is written of one that has ended or was deleted.
    pub(super) fn check_budgets(&self) -> Result<(), String> {
        let Caps { session, user_day, account_month, .. } = self.scenario.caps;
        for (is_account, owner, counters) in self.store.budgets() {
            let limit = match (is_account, owner) {
                (true, _) => account_month,
                (false, USER) => user_day,
                (false, _) => continue,
            };
            let both = counters.spent + counters.reserved;
            if both > limit + counters.unasked {
                return Err(format!("the budget of {owner}, {limit}, is overshot: {counters:?}"));
            }
        }
        for id in self.store.ids().filter(|id| *id != OTHER) {
            let Some(row) = self.store.session(id) else { continue };
            if row.authorised > session || row.cost > row.authorised {
                return Err(format!("{id} has cost {} of {} of {session}", row.cost, row.authorised));
            }
        }
        Ok(())
    }

    /// A request is made only when the store knows that so much is exposed.
    pub(super) fn check_open(&self, live: &Live, request: RequestId) -> Result<(), String> {
        let (log, items) = (live.log.lock(), self.items());
        let worst = |request: &RequestId| {
            let asked = log.asked.get(request);
            let price = asked.and_then(|(place, at_most)| Some((items.get(*place)?, at_most)));
            price.map_or(NanoUsd::MAX, |(price, at_most)| price.worst_case(at_most))
        };
        let under_way = live.under_way().filter(|other| !log.spent.contains_key(other));
        let held = under_way.map(|other| worst(&other)).fold(worst(&request), |sum, one| sum + one);
        let exposed = self.store.exposed(&live.id);
        let is_known = self.store.session(&live.id).is_some_and(|row| row.epoch == live.books.epoch);
        if is_known && exposed < held {
            return Err(format!("request {request} holds {held}, and the store knows of {exposed}"));
        }
        Ok(())
    }

    /// What a client is told to be committed is stored by then, and in the ledger.
    pub(super) fn check_committed(&self, id: &str, told: Mark) -> Result<(), String> {
        let Some(row) = self.store.session(id) else { return Ok(()) };
        if told.seq > row.committed.seq || told.position > row.committed.position {
            return Err(format!("{id}: {told:?} is told to be committed, and {:?} is", row.committed));
        }
        let heard = self.truth.heard(id, false).into_iter();
        let before: u64 = heard.map(|(from, to)| u64::from(to.min(told.position).saturating_sub(from))).sum();
        let paid = self.truth.paid_before(id);
        let found = row.audio_samples + unheard(&self.store.ledger(id));
        if found + paid < before && !self.truth.is_refused && !self.truth.outlived.contains(id) {
            return Err(format!(
                "{id}: up to {told:?} is committed, and of {before} samples {found} are in the ledger, {paid} in one before"
            ));
        }
        Ok(())
    }

    /// At the end: what is stored is what was, and what the page was told.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.check_budgets()?;
        for (is_account, owner, counters) in self.store.budgets() {
            if counters.reserved > NanoUsd::ZERO {
                return Err(format!(
                    "of the budget of {owner} ({is_account}) {} stays set aside",
                    counters.reserved
                ));
            }
        }
        self.check_sums()?;
        for (id, epochs) in &self.truth.epochs {
            let Some(row) = self.store.session(id) else { continue };
            self.check_session(id, &row, epochs).map_err(|cause| format!("{id}: {cause}"))?;
        }
        self.check_words()?;
        self.check_typed()?;
        self.count();
        Ok(())
    }

    /// Every nano-dollar stands in a ledger, a session and a budget, the same everywhere.
    fn check_sums(&self) -> Result<(), String> {
        let mut sum = self.store.erased_cost(ACCOUNT);
        for id in self.store.ids() {
            let rows = self.store.ledger(id);
            let cost = rows.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
            let row = self.store.session(id).unwrap_or_else(|| unreachable!("it is among the ids"));
            if row.cost != cost || row.authorised != cost {
                return Err(format!(
                    "{id} has cost {}, its ledger says {cost}, {} is authorised",
                    row.cost, row.authorised
                ));
            }
            sum += cost;
        }
        let spent = |of_account: bool| {
            let of = self.store.budgets().filter(|(is_account, ..)| *is_account == of_account);
            of.fold(NanoUsd::ZERO, |sum, (_, _, counters)| sum + counters.spent)
        };
        // What recognisers said afterwards that they bill less was given back.
        let (of_accounts, of_users) = (self.store.lowered(true), self.store.lowered(false));
        if spent(true) + of_accounts != sum || spent(false) + of_users != sum {
            return Err(format!(
                "{sum} was spent, {of_accounts} and {of_users} given back; the accounts' budgets say {}, the users' {}",
                spent(true),
                spent(false)
            ));
        }
        self.check_lowered()
    }

    fn check_session(&self, _id: &str, row: &SessionRow, epochs: &[Epoch]) -> Result<(), String> {
        let (id, turns, ledger) = (&row.id, self.store.turns(&row.id), self.store.ledger(&row.id));
        self.check_metered(row, unheard(&ledger), epochs)?;
        check_repeated(row, &ledger, epochs)?;
        self.check_requests(&ledger, epochs)?;
        self.check_credits(row, &ledger, epochs)?;
        agents::check_given(epochs)?;
        agents::check_reached(epochs)?;
        self.check_turns(&turns)?;
        check_order(&turns, epochs)?;
        self.check_told_turns(id, row, &turns, epochs)?;
        self.check_heard(id, &turns, epochs)?;
        self.check_answers(&turns, epochs)?;
        self.check_farewell(row, &turns)?;
        Ok(())
    }

    /// What is metered is what was heard, each sample once.
    fn check_metered(&self, row: &SessionRow, unheard: u64, epochs: &[Epoch]) -> Result<(), String> {
        let given: u64 = epochs.iter().map(|epoch| epoch.log.lock().samples).sum();
        let once: u64 =
            self.truth.heard(&row.id, true).into_iter().map(|(from, to)| u64::from(to - from)).sum();
        let committed = self.truth.heard(&row.id, false).into_iter();
        let committed: u64 =
            committed.map(|(from, to)| u64::from(to.min(row.committed.position).saturating_sub(from))).sum();
        // What a session before this one has paid for is not metered here again.
        // What came while no recogniser was there is in the ledger apart. Where it was sent again, it may have been heard.
        let paid = self.truth.paid_before(&row.id) + unheard;
        let metered = row.audio_samples;
        // Of what was paid for, a part may not have been played again.
        let is_once = (metered..=metered + paid).contains(&once);
        let is_whole = !self.truth.outlived.contains(&row.id)
            && epochs.iter().all(|epoch| matches!(epoch.end, Some(End::Departed(_))));
        let fenced = epochs.iter().any(|epoch| epoch.end == Some(End::Departed(Departure::TakenOver)));
        let is_tainted = self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased;
        if metered > given {
            return Err(format!("{metered} samples are metered, and {given} were heard"));
        }
        if is_tainted {
            return Ok(());
        }
        if metered + paid < committed && !self.truth.outlived.contains(&row.id) {
            return Err(format!("{metered} samples are metered, and {committed} are committed"));
        }
        if is_whole
            && !fenced
            && row.end_reason.as_deref() != Some("abnormal")
            && epochs.len() == 1
            && !is_once
        {
            return Err(format!(
                "{metered} samples are metered, {paid} in a session before or by nobody, and {once} were heard in one go"
            ));
        }
        if is_whole
            && !fenced
            && (epochs.len() == 2 && !self.truth.is_kept || self.scenario.relays == 1)
            && !is_once
            && row.end_reason.as_deref() == Some("normal")
        {
            return Err(format!(
                "{metered} samples are metered, {paid} in a session before or by nobody, and {once} were heard, of {given}"
            ));
        }
        Ok(())
    }

    /// What stands in the ledger of requests is what was used, once.
    fn check_requests(&self, ledger: &[LedgerRow], epochs: &[Epoch]) -> Result<(), String> {
        let items = self.items();
        let item_of = |log: &Log, request: &RequestId| {
            let place = log.asked.get(request).map(|(place, _)| *place);
            place.and_then(|place| items.get(place)).map_or("", ItemPrice::item)
        };
        let mut expected: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        for epoch in epochs {
            let log = epoch.log.lock();
            // What was charged for a relay that was lost is charged instead.
            let is_charged = ledger.iter().any(|row| row.key == format!("lost@{}", epoch.number));
            let has_left =
                matches!(epoch.end, Some(End::Departed(departure)) if departure != Departure::TakenOver);
            let is_owed = has_left && !is_charged;
            for (request, used) in &log.spent {
                if !epoch.billed.contains_key(request) {
                    continue;
                }
                let quantity = match used {
                    Some(
                        Quantity::Tokens(tokens) | Quantity::Eager(tokens) | Quantity::RepeatedTokens(tokens),
                    ) => tokens.prompt_tokens() + tokens.output_tokens(),
                    Some(Quantity::Characters(many) | Quantity::Samples(many) | Quantity::Repeated(many)) => {
                        *many
                    }
                    None => continue,
                };
                let prefix = format!("{}@{}.{request}", item_of(&log, request), epoch.number);
                expected.insert(prefix, (quantity, is_owed));
            }
            for (request, (billed, is_written)) in &epoch.late {
                if let Some(more) = billed.difference().and_then(|more| u64::try_from(more).ok()) {
                    let prefix = format!("{}@{}.{request}.late", item_of(&log, request), epoch.number);
                    expected.insert(prefix, (more, is_owed && *is_written));
                }
            }
            // A recogniser that hears all of a call uses nothing of its own: what it hears is metered.
            let costs = |request: &&RequestId| {
                log.asked.get(request).is_none_or(|(_, at_most)| *at_most != AtMost::Nothing)
            };
            let unsaid = epoch.billed.keys().filter(|request| !log.spent.contains_key(request)).filter(costs);
            if is_owed && let Some(request) = unsaid.into_iter().next() {
                let asked = log.asked.get(request);
                return Err(format!("nobody said what request {request}, {asked:?}, has used"));
            }
            for (request, billed) in &epoch.billed {
                let (Some((prompt, output)), Some(Some(Quantity::Tokens(used) | Quantity::Eager(used)))) =
                    (billed, log.spent.get(request))
                else {
                    continue;
                };
                let is_it = used.prompt_tokens() == *prompt && used.output_tokens() == *output;
                if !log.estimated.contains(request) && !is_it {
                    return Err(format!(
                        "request {request} used {prompt} and {output} tokens, and not {used:?}"
                    ));
                }
            }
        }
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        // What is metered as it comes has a place in the audio in its key, and no request.
        let of_request = |row: &&LedgerRow| row.key.rsplit_once('@').is_some_and(|(_, of)| of.contains('.'));
        let is_of_none = |row: &LedgerRow| is_played_again(row) || row.unit == UNHEARD_SAMPLE;
        for row in ledger.iter().filter(of_request).filter(|row| !is_of_none(row)) {
            let Some((prefix, _)) = row.key.rsplit_once('/') else { return Err(format!("{row:?}")) };
            *found.entry(prefix).or_default() += row.quantity;
        }
        for (prefix, quantity) in &found {
            if expected.get(*prefix).is_none_or(|(tokens, _)| tokens != quantity) {
                return Err(format!("{prefix}: {quantity} in the ledger, {:?} used", expected.get(*prefix)));
            }
        }
        for epoch in epochs {
            let log = epoch.log.lock();
            let cost = |(place, at_most): &(usize, AtMost)| {
                items.get(*place).map_or(NanoUsd::ZERO, |price| price.worst_case(at_most))
            };
            let sum = |sum, one| sum + one;
            let asked = log.asked.values().map(cost).fold(NanoUsd::ZERO, sum);
            let expected = log.expected.iter().map(|each| each.iter().map(cost).fold(NanoUsd::ZERO, sum));
            let exposed = asked + expected.max().unwrap_or(NanoUsd::ZERO);
            let key = format!("lost@{}", epoch.number);
            if let Some(row) = ledger.iter().find(|row| row.key == key && row.cost > exposed) {
                return Err(format!("{} is charged for a lost relay that had exposed {exposed}", row.cost));
            }
        }
        let is_tainted = self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased;
        for (prefix, (tokens, is_owed)) in &expected {
            if *is_owed
                && *tokens > 0
                && !found.contains_key(prefix.as_str())
                && !is_tainted
                && epochs.len() == 1
            {
                return Err(format!("{prefix}: {tokens} were used and are not in the ledger"));
            }
        }
        Ok(())
    }

    /// Each turn has one number, in the order of speaking.
    fn check_turns(&self, turns: &[TurnRow]) -> Result<(), String> {
        let users = turns.iter().map(|row| &row.turn).filter(|turn| turn.role == Role::User);
        let mut end = 0;
        for turn in users.clone().filter(|turn| turn.end > turn.start) {
            // A frame that a turn ends in is not committed with it, and neither are those that are committed together with it, 100 ms at most: after
            // a take-over the rest of it is heard again.
            // What ears that know the script hear in a gap, they hear again.
            let is_dropped = self.page.gaps.iter().any(|(from, to)| (*from..*to).contains(&turn.start));
            if turn.start + self.scenario.chunk.max(1_600) < end && !is_dropped {
                return Err(format!("what was said at {} stands in two turns: {turns:?}", turn.start));
            }
            end = turn.end;
        }
        // Words that come late may have no place of their own either.
        let is_typed = |turn: &&Turn| turn.end == turn.start && turn.text.starts_with(TYPED);
        let mut typed: Vec<&str> = users.filter(is_typed).map(|turn| turn.text.as_str()).collect();
        let before = typed.len();
        typed.sort_unstable();
        typed.dedup();
        if typed.len() != before {
            return Err(format!("a text stands in two turns: {turns:?}"));
        }
        Ok(())
    }

    /// What the page was told is what is stored.
    fn check_told_turns(
        &self,
        id: &str,
        row: &SessionRow,
        turns: &[TurnRow],
        epochs: &[Epoch],
    ) -> Result<(), String> {
        let Some(told) = self.page.told.get(id) else { return Ok(()) };
        let is_tainted = self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased;
        // Of a session that ended while its client was elsewhere, the page was told what it had heard by then.
        let is_normal = self.page.is_last(id)
            && self.page.is_closed_in_order
            && row.end_reason.as_deref() == Some("normal")
            && told.epochs.last() == Some(&row.epoch);
        if !is_normal || is_tainted {
            return Ok(());
        }
        let is_whole = epochs.len() == 1 && !self.truth.is_told_again;
        for stored in turns.iter().map(|row| &row.turn) {
            let Some(said) = told.turns.get(&stored.turn) else {
                if is_whole {
                    return Err(format!("turn {} is stored and was not told", stored.turn));
                }
                continue;
            };
            let is_same = said.text == stored.text
                && said.role == stored.role
                && (said.start, said.end) == (stored.start, stored.end);
            if !is_same && is_whole {
                return Err(format!("told {said:?}, stored {stored:?}"));
            }
        }
        if is_whole
            && let Some(said) = told
                .turns
                .values()
                .find(|said| !said.text.is_empty() && !turns.iter().any(|row| row.turn.turn == said.turn))
        {
            return Err(format!("told and neither stored nor taken back: {said:?}"));
        }
        if let Some(usage) = told.usage {
            let stored = (row.cost.get(), row.audio_samples / 16, row.tokens);
            let said = (usage.cost_nano_usd, usage.audio_ms, usage.tokens);
            // A relay that the client had left may write afterwards what it had kept on its own disk.
            let is_late = self.truth.is_kept && epochs.len() > 1;
            if said != stored && !(is_late && said.0 <= stored.0) {
                return Err(format!("cost, audio and tokens: told {said:?}, stored {stored:?}"));
            }
        }
        Ok(())
    }

    /// What stands as heard of an answer was heard, its words and its sound.
    fn check_heard(&self, id: &str, turns: &[TurnRow], epochs: &[Epoch]) -> Result<(), String> {
        for turn in turns.iter().map(|row| &row.turn).filter(|turn| turn.role == Role::Agent) {
            let Some(stored) = turn.heard else { continue };
            if !(turn.start..=turn.end).contains(&stored) {
                return Err(format!("heard up to {stored}, out of the turn: {turn:?}"));
            }
            let number = self.store.epoch_of_turn(id, turn.turn);
            let Some(epoch) = epochs.iter().find(|epoch| Some(epoch.number) == number) else { continue };
            let mut broken_off = self.truth.broken_off.get(id).into_iter().flatten();
            let left = broken_off.rfind(|left| left.turn == turn.turn);
            // A relay that goes on with the call counts as heard what the page has and goes on playing.
            let furthest = if left.is_some() { &self.page.plays } else { &self.page.heard };
            let heard = furthest.get(&(id.to_owned(), epoch.number)).copied().unwrap_or(0);
            if stored > turn.start && stored > heard {
                return Err(format!("heard up to {heard}, stored {turn:?}"));
            }
            let is_same = |left: &Turn| (&left.text, left.heard) == (&turn.text, turn.heard);
            if let Some(left) = left
                && !is_same(left)
                && !(self.truth.is_refused || self.truth.is_lossy)
            {
                return Err(format!("{left:?} was left of it, stored {turn:?}"));
            }
            if stored == turn.end {
                continue;
            }
            let log = epoch.log.lock();
            let given: Vec<_> = log.answers.iter().filter(|given| given.gave(&turn.text)).collect();
            // What is sent is heard later where the connection is away meanwhile. Whoever went on with the call of a relay that was killed, or whose
            // last writes were refused for good, did not know where in its sound each sentence had begun.
            let is_estimated = epoch.end == Some(End::Killed) || left.is_some() && self.truth.is_refused;
            let is_known = !is_estimated && given.iter().all(|given| given.is_broken_off());
            let is_heard = given.iter().any(|given| given.is_heard_as(&turn.text, stored - turn.start));
            // An answer of whose sound nothing was sent was read.
            let is_read = epoch.sent <= turn.start;
            if is_known && !is_read && !given.is_empty() && !is_heard {
                return Err(format!(
                    "these words were not heard, or more of them: {turn:?}, given {given:?}"
                ));
            }
        }
        Ok(())
    }

    /// A call that ends for want of money says so: in the agent's last words, or in writing.
    fn check_farewell(&self, row: &SessionRow, turns: &[TurnRow]) -> Result<(), String> {
        let is_tainted = self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased;
        if row.end_reason.as_deref() != Some(CloseCode::Budget.name()) || is_tainted {
            return Ok(());
        }
        if turns.iter().any(|row| is_goodbye(row) || row.turn.text.contains("budget")) {
            return Ok(());
        }
        Err(format!("it ended for want of money, and nobody said so: {turns:?}"))
    }

    /// An answer that was heard to its end was sent whole, each sample once and one after another, held or not.
    fn check_answers(&self, turns: &[TurnRow], epochs: &[Epoch]) -> Result<(), String> {
        let [epoch] = epochs else { return Ok(()) };
        if self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased {
            return Ok(());
        }
        let log = epoch.log.lock();
        let agent = turns.iter().map(|row| &row.turn).filter(|turn| turn.role == Role::Agent);
        let agent: Vec<_> = agent.filter(|turn| !log.unsaid.contains(&turn.text)).collect();
        // What was not stored yet when the relay was killed is not there.
        for (index, (turn, given)) in agent.iter().zip(&log.answers).enumerate() {
            if !given.is_whole || turn.heard != Some(turn.end) {
                continue;
            }
            if turn.end - turn.start != given.samples {
                return Err(format!("{} samples were given for {turn:?}", given.samples));
            }
            if let Some(next) = agent.get(index + 1).filter(|next| next.start != turn.end) {
                return Err(format!("{next:?} begins before or after the end of {turn:?}"));
            }
        }
        Ok(())
    }

    /// No word is lost: what was said is committed, or told to be missing.
    fn check_words(&self) -> Result<(), String> {
        if self.page.ended != Some(CloseCode::Normal) || self.truth.is_erased {
            return Ok(());
        }
        let stored = self.store.ids().filter_map(|id| self.store.session(id));
        let committed = stored.map(|row| row.committed.position).max();
        let Some(committed) = committed else { return Ok(()) };
        let told: u64 = self.page.gaps.iter().map(|(from, to)| u64::from(to - from)).sum();
        if committed < self.page.spoken && told == 0 {
            return Err(format!("{} samples were said, and {committed} are committed", self.page.spoken));
        }
        // Who does not wait is told of everything that was given up.
        let missing = self.page.gaps.iter().map(|(from, to)| to.saturating_sub(committed.max(*from)));
        let missing: u32 = missing.sum();
        if self.page.is_hurried && committed + missing < self.page.spoken {
            return Err(format!(
                "{} samples were said, {committed} are committed, and {missing} after those are told to be missing",
                self.page.spoken
            ));
        }
        Ok(())
    }

    /// Nothing that was typed is lost: it stands in a transcript, or the page was told that it was not delivered.
    fn check_typed(&self) -> Result<(), String> {
        let is_tainted = self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased;
        if self.page.ended != Some(CloseCode::Normal) || is_tainted {
            return Ok(());
        }
        let turns = self.store.ids().flat_map(|id| self.store.turns(id));
        let stored: BTreeSet<String> =
            turns.filter(|row| row.turn.role == Role::User).map(|row| row.turn.text).collect();
        let is_lost = |text: &&String| !stored.contains(*text) && !self.page.undelivered.contains(text);
        match self.page.typed.iter().find(is_lost) {
            Some(text) => {
                Err(format!("{text:?} is neither told to be undelivered nor among the stored: {stored:?}"))
            }
            None => Ok(()),
        }
    }

    fn count(&mut self) {
        self.tally.sessions += u64::from(self.truth.sessions);
        self.tally.turns += self.store.ids().map(|id| self.store.turns(id).len() as u64).sum::<u64>();
        self.tally.normal += u64::from(self.page.ended == Some(CloseCode::Normal));
        self.tally.exhausted += u64::from(self.truth.exhausted);
        let logs = self.truth.epochs.values().flatten().map(|epoch| epoch.log.lock());
        let mut found = 0;
        for log in logs {
            found += log.found;
            let is_eager = |used: &&Option<Quantity>| matches!(used, Some(Quantity::Eager(_)));
            self.tally.longer += log.longer;
            self.tally.cuts += log.cuts.explained;
            self.tally.went_on += log.went_on;
            self.tally.spoken_on += log.voices.went_on;
            self.tally.eager += log.spent.values().filter(is_eager).count() as u64;
        }
        self.tally.computed += u64::from(found > 0);
        let turns = self.store.ids().flat_map(|id| self.store.turns(id));
        self.tally.farewells += turns.filter(is_goodbye).count() as u64;
        let rows = self.store.ids().flat_map(|id| self.store.ledger(id));
        self.tally.written_off += rows.filter(|row| row.item == LedgerRow::LOST).count() as u64;
        let rows = self.store.ids().flat_map(|id| self.store.ledger(id));
        self.tally.excess += rows.filter(|row| row.unit == "excess_sample").count() as u64;
        self.tally.credits += self.store.credits().count() as u64;
    }
}
