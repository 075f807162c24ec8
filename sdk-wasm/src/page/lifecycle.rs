//! The page's own coming and going.

use std::rc::Rc;

use wasm_bindgen::JsCast;
use web_sys::{Event, EventTarget, PageTransitionEvent};

use super::Inner;
use crate::listener::Listener;

impl Inner {
    /// Listens to the page until the call is closed.
    pub(super) fn listen(self: &Rc<Self>) {
        let (window, document) = (self.host.window(), self.host.document());
        let mut listeners = self.listeners.borrow_mut();
        let mut on = |target: &EventTarget, event: &'static str, handle: fn(&Rc<Inner>, &Event)| {
            let weak = Rc::downgrade(self);
            listeners.push(Listener::new(target, event, move |event| {
                if let Some(inner) = weak.upgrade() {
                    handle(&inner, &event);
                }
            }));
        };
        on(&window, "online", |inner, _| inner.host.signal("online"));
        on(&window, "offline", |inner, _| inner.host.signal("offline"));
        on(&window, "pagehide", |inner, _| inner.leave());
        on(&window, "pageshow", |inner, event| inner.come_back(event));
        on(&document, "visibilitychange", |inner, _| inner.woke());
        on(&document, "resume", |inner, _| inner.woke());
        // A context that may only run after a gesture gets one.
        on(&document, "pointerup", |inner, _| inner.resume());
        on(&document, "keyup", |inner, _| inner.resume());
        if let Some(devices) = self.host.devices() {
            on(&devices, "devicechange", |inner, _| inner.settle());
        }
    }

    /// The page may go into the back/forward cache, where neither a socket nor a microphone may stay open.
    fn leave(&self) {
        self.host.hold(true);
        self.capture.replace(None);
    }

    fn come_back(&self, event: &Event) {
        if event.unchecked_ref::<PageTransitionEvent>().persisted() {
            self.host.hold(false);
            self.resume();
            self.host.reopen_microphone();
        }
    }

    fn woke(&self) {
        if !self.host.document().hidden() {
            self.host.signal("woke");
            self.resume();
            self.mend_capture();
        }
    }
}
