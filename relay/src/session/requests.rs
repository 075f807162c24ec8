//! The requests that a session has under way at providers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protocol::Time;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::Input;
use crate::money::bill::Quantity;
use crate::money::tab::{Billed, RequestId};
use crate::operations::telemetry;
use crate::provider::{
    Answer, Ask, Event, Expected, Failure, FailureKind, Feed, Pass, Ready, Request, SOCKET_KEPT_FOR, Service,
    Upstream,
};
use crate::running::Running as UnderWay;

/// How long a recogniser that is let go of may take to say what it bills: a little longer than its codec waits for that.
const CLOSED_WITHIN: Duration = Duration::from_secs(6);

/// The requests of one session. Dropping this cancels them; recognisers that were let go of before are heard to their ends.
#[derive(Debug)]
pub(super) struct Requests {
    tasks: TaskTracker,
    started: Instant,
    /// The agent's providers, by their places.
    providers: Vec<Arc<Upstream>>,
    running: Vec<Running>,
    closing: Closing,
    /// From the user's first words to the end of the answer: which voice will be asked next, so that a socket is open for it by then.
    next_voice: Option<(usize, Expected)>,
    /// When words of the user came last, as long as these alone are why a voice is expected.
    words_at: Option<Instant>,
    /// The user has spoken while the answer was found and spoken.
    is_spoken_over: bool,
    /// What is asked over HTTP is connected to as long as the call goes on.
    _ready: Option<Ready>,
    shutdown: CancellationToken,
    /// Requests that could not be made, and why: told before anything else.
    refused: VecDeque<(RequestId, Failure)>,
}

/// Recognisers that were let go of and may say what they bill. Dropped, they are heard to their ends, and nobody is told.
#[derive(Debug, Default)]
pub(super) struct Closing(FuturesUnordered<UnderWay<Option<Billed>>>);

#[derive(Debug)]
struct Running {
    id: RequestId,
    provider: usize,
    request: Request,
    pass: Pass,
    /// Whoever asked has no room: what it says waits, and then its provider.
    is_held_back: bool,
    /// It listens to a stream, and is there: when it is let go of, it is told so.
    is_listening: bool,
    /// Samples that it was given.
    samples: u64,
}

impl Requests {
    /// No request is under way yet. What will hear the user is connected to at once: their first words are to find it there. So is what is asked
    /// over HTTP.
    pub(super) fn new(
        tasks: TaskTracker,
        shutdown: CancellationToken,
        started: Instant,
        providers: Vec<Arc<Upstream>>,
    ) -> Requests {
        let ready = Ready::keep(&providers, &tasks, &shutdown);
        let requests = Requests {
            tasks,
            started,
            providers,
            running: Vec::new(),
            closing: Closing::default(),
            next_voice: None,
            words_at: None,
            is_spoken_over: false,
            _ready: ready,
            shutdown,
            refused: VecDeque::new(),
        };
        drop(requests.expect(Service::SpeechToText));
        requests
    }

    /// Makes a request, or has it fail at once if its provider is not asked now: nothing is sent then.
    pub(super) fn open(&mut self, id: RequestId, provider: usize, ask: &Ask) {
        let Some(upstream) = self.providers.get(provider) else { return };
        let of = upstream.provider();
        let Some(codec) = of.codec(ask) else {
            // The configuration gives an agent only providers of the service that it asks for, so this does not happen.
            tracing::error!(provider = %of.name, kind = of.kind.name, "it cannot be asked that");
            let why = Failure::new(FailureKind::Request, "it cannot be asked that");
            return self.refused.push_back((id, why));
        };
        match upstream.admit(time(self.started), ask) {
            Ok(mut pass) => {
                let (way, bounds) = (pass.way(), of.bounds(ask));
                // A worker runs the task next that was spawned last, and puts the one before at the end of its queue: behind all other calls. That
                // may be the handshake of a socket for later, and not the request for which somebody waits.
                self.look_ahead(provider, ask);
                let request = Request::open(&self.tasks, way, self.started, codec, bounds);
                self.running.push(Running {
                    id,
                    provider,
                    request,
                    pass,
                    is_held_back: false,
                    is_listening: false,
                    samples: 0,
                });
            }
            Err(why) => {
                telemetry::provider_request(&of.name, Some(why.kind));
                self.refused.push_back((id, why));
            }
        }
    }

    /// Adds to a request, if it is still under way.
    pub(super) fn feed(&mut self, id: RequestId, feed: Feed) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id) {
            if let Feed::Audio(bytes) = &feed {
                running.samples += bytes.len() as u64 / 2;
            }
            running.request.feed(feed);
        }
    }

    /// Tells nothing more of a request, or goes on.
    pub(super) fn hold_back(&mut self, id: RequestId, is_held_back: bool) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id) {
            running.is_held_back = is_held_back;
        }
    }

    /// Gives up a request.
    pub(super) fn cancel(&mut self, id: RequestId) {
        if let Some(place) = self.running.iter().position(|running| running.id == id) {
            let running = self.running.remove(place);
            self.let_go(running);
        }
        self.refused.retain(|(refused, _)| *refused != id);
        self.look_back();
    }

    /// A recogniser that listens is told that nothing more comes, and says what it bills of what it was given: that is compared, since the call
    /// meters by itself. Its place is free when it is gone. Anything else is dropped, and so closed: nobody is there any more who could say
    /// something later.
    fn let_go(&self, running: Running) {
        let Running { id, provider, request, pass, samples, .. } = running;
        if !running.is_listening {
            return;
        }
        let upstream = self.providers[provider].clone();
        self.closing.0.push(UnderWay::start(&self.tasks, async move {
            let answer = timeout(CLOSED_WITHIN, request.finish()).await.ok().flatten();
            let billed = answer.and_then(|answer| billed(id, samples, answer));
            if let Some(difference) = billed.as_ref().and_then(Billed::difference) {
                let name = &upstream.provider().name;
                tracing::warn!(provider = %name, samples, difference, "a recogniser bills other audio than it was given");
                telemetry::provider_difference(name, difference);
            }
            drop(pass);
            billed
        }));
    }

    /// Hands out the recognisers that were let go of and may still say what they bill. It is for the end of the session: what they say before is
    /// among [`Requests::next`].
    pub(super) fn close(&mut self) -> Closing {
        std::mem::take(&mut self.closing)
    }

    /// Somebody speaks, and will be answered: a model that is quicker than the way to the voice is not to wait for it.
    fn hear_words(&mut self) {
        if self.is_answering() {
            self.is_spoken_over = true;
            return;
        }
        // With the first words only: there are calls in which people speak for an hour and nobody answers.
        if self.next_voice.is_none() {
            self.next_voice = self.expect(Service::TextToSpeech);
        }
        self.words_at = Some(Instant::now());
    }

    /// Words that nobody has answered by now will not be answered.
    fn forget_words(&mut self) {
        if self.words_at.is_some_and(|at| at.elapsed() > SOCKET_KEPT_FOR) {
            (self.words_at, self.next_voice) = (None, None);
        }
    }

    /// Whether an answer is being found or spoken.
    fn is_answering(&self) -> bool {
        let mut services = self.running.iter().map(|running| self.providers[running.provider].service());
        services.any(|service| service != Service::SpeechToText)
    }

    /// Opens what will be needed next: a model is asked, so its answer will be spoken; a sentence is being spoken, so another one may follow.
    fn look_ahead(&mut self, provider: usize, ask: &Ask) {
        // Whoever is asked what was said answers nobody.
        if matches!(ask, Ask::Chat(_) | Ask::Speak(_)) {
            self.words_at = None;
        }
        match (ask, &self.next_voice) {
            (Ask::Chat(_), _) => {
                self.is_spoken_over = false;
                // Chosen anew: a voice may have failed since, or be well again. One request is expected, and not two.
                self.next_voice = None;
                self.next_voice = self.expect(Service::TextToSpeech);
            }
            (Ask::Speak(_), Some((expected, voice))) if *expected == provider => voice.open_ahead(),
            (Ask::Speak(_), _) => {
                let voice = self.providers[provider].expect(&self.tasks, &self.shutdown);
                self.next_voice = voice.map(|voice| (provider, voice));
            }
            _ => {}
        }
    }

    /// Expects nothing more of an answer that is over. Who has spoken over it may be answered next.
    fn look_back(&mut self) {
        if self.is_answering() || self.words_at.is_some() {
            return;
        }
        self.next_voice = None;
        if std::mem::take(&mut self.is_spoken_over) {
            self.hear_words();
        }
    }

    /// The first provider that has this to give and is asked as ever will be asked soon.
    fn expect(&self, service: Service) -> Option<(usize, Expected)> {
        let mut able = self.providers.iter().enumerate();
        let (place, upstream) =
            able.find(|(_, upstream)| upstream.service() == service && upstream.is_asked())?;
        Some((place, upstream.expect(&self.tasks, &self.shutdown)?))
    }

    /// The next thing that a provider says about any of the requests. It waits for ever without requests. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Input {
        self.forget_words();
        poll_fn(|context| {
            if let Some((id, why)) = self.refused.pop_front() {
                return Poll::Ready(Input::Provider(id, Event::Failed(why)));
            }
            while let Poll::Ready(Some(closed)) = self.closing.0.poll_next_unpin(context) {
                if let Some(billed) = closed {
                    return Poll::Ready(Input::Billed(billed));
                }
            }
            for place in 0..self.running.len() {
                let Running { id, provider, request, pass, is_held_back, is_listening, .. } =
                    &mut self.running[place];
                if *is_held_back {
                    continue;
                }
                let Poll::Ready(event) = request.poll_next(context) else { continue };
                pass.note(time(self.started), &event);
                let (id, upstream) = (*id, &self.providers[*provider]);
                let name = &upstream.provider().name;
                let has_words = matches!(&event, Event::Heard(heard) if !heard.text.is_empty());
                match &event {
                    Event::Ready => {
                        let is_fed = upstream.provider().kind.is_fed;
                        *is_listening = is_fed && upstream.service() == Service::SpeechToText;
                    }
                    Event::Named(_)
                    | Event::Text(_)
                    | Event::Stopped
                    | Event::ToolCall(_)
                    | Event::Thought { .. }
                    | Event::Usage(_)
                    | Event::Heard(_)
                    | Event::Unanswered { .. }
                    | Event::Turn(_)
                    | Event::Sound(_)
                    | Event::Spoken(_) => {}
                    Event::Finished(_) => telemetry::provider_request(name, None),
                    Event::Failed(failure) => {
                        let kind = failure.kind.name();
                        tracing::warn!(provider = %name, kind, why = %failure, "a provider has failed");
                        telemetry::provider_request(name, Some(failure.kind));
                    }
                }
                if matches!(event, Event::Finished(_) | Event::Failed(_)) {
                    self.running.remove(place);
                    self.look_back();
                }
                if has_words {
                    self.hear_words();
                }
                return Poll::Ready(Input::Provider(id, event));
            }
            Poll::Pending
        })
        .await
    }
}

impl Closing {
    /// Whether none of them may say anything any more.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the next of them says that it bills, as soon as it says so; `None` once all have said so or are gone. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Billed> {
        while let Some(closed) = self.0.next().await {
            if closed.is_some() {
                return closed;
            }
        }
        None
    }
}

/// What a recogniser bills of so many samples that it was given. `None` where it does not say.
fn billed(request: RequestId, given: u64, answer: Answer) -> Option<Billed> {
    let Some(Quantity::Samples(samples)) = answer.usage else { return None };
    Some(Billed { request, given, samples, request_id: answer.request_id })
}

/// The time since the relay started.
fn time(started: Instant) -> Time {
    Time::from_micros(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
