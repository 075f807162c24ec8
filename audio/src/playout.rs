//! From chunks that come as the network lets them to a stream that the loudspeaker can count on.

use std::collections::VecDeque;

use crate::rate::Hz;

/// A bounded queue between the agent's chunks and the loudspeaker.
///
/// Playing starts when the prebuffer is full, at [`end_of_reply`](Self::end_of_reply), or when what is queued has waited for as long as the
/// prebuffer lasts, and goes on until nothing is left: what is waited for never holds anything back for longer than itself. When the buffer is
/// full the newest samples are dropped and counted, since what was said first must be heard first.
///
/// Running empty before more of the same reply comes is an underrun: it is counted, and the prebuffer has to fill again. If the reply is said
/// to end before more comes, nothing came too late, and it was none.
///
/// The prebuffer follows the line. An underrun doubles it, up to a second. A reply that would have been whole with half of it halves it,
/// down to what it was at first: one without an underrun, of which never less than that half was still to be heard while more of it was to
/// come. An interrupted reply tells nothing.
#[derive(Clone, Debug)]
pub struct PlayoutBuffer {
    ring: Box<[f32]>,
    /// What has to be queued for playing to start, and the least and the most that this may be.
    prebuffer: u64,
    shortest: u64,
    longest: u64,
    /// Half of the prebuffer would not have been enough for this reply.
    was_scarce: bool,
    /// It ran empty, and what comes next tells whether that was an underrun.
    ran_empty: bool,
    /// For how many samples what is queued has waited.
    waited: u64,
    fade: u64,
    /// Samples that ever left and ever came, as positions in the stream of played samples. `ring` holds those between.
    read: u64,
    write: u64,
    playing: bool,
    /// Where the reply ends that `end_of_reply` has announced.
    reply_end: Option<u64>,
    /// Where in the stream of played samples the agent's timeline jumps, and to what. The first one is at or before `read`.
    marks: VecDeque<Mark>,
    stats: PlayoutStats,
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayoutStats {
    /// How often the buffer ran empty in the middle of a reply, of which more came too late.
    pub underruns: u64,
    /// Samples dropped because the buffer was full.
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    position: u64,
    timestamp: u64,
}

impl PlayoutBuffer {
    /// A buffer for mono samples at `rate` that starts to play with `prebuffer_ms`, as long as no reply runs empty, and holds at most
    /// `capacity_ms`. Both are at least one sample; the capacity is at least the prebuffer, however long it becomes.
    #[must_use]
    pub fn new(rate: Hz, prebuffer_ms: u32, capacity_ms: u32) -> Self {
        let prebuffer = rate.samples_in_ms(prebuffer_ms).max(1);
        let capacity = rate.samples_in_ms(capacity_ms).max(prebuffer);
        let longest = rate.samples_in_ms(LONGEST_PREBUFFER_MS).min(capacity).max(prebuffer);
        Self {
            ring: vec![0.0; capacity].into_boxed_slice(),
            prebuffer: prebuffer as u64,
            shortest: prebuffer as u64,
            longest: longest as u64,
            was_scarce: false,
            ran_empty: false,
            waited: 0,
            fade: rate.samples_in_ms(FADE_MS).max(1) as u64,
            read: 0,
            write: 0,
            playing: false,
            reply_end: None,
            marks: VecDeque::with_capacity((capacity_ms / MARK_MS) as usize + MIN_MARKS),
            stats: PlayoutStats::default(),
        }
    }

    /// Queues samples. `timestamp` is the place of the first one in the agent's own timeline, counted in samples at this buffer's rate.
    /// Returns how many were accepted: all that fit, the rest is dropped.
    pub fn push(&mut self, timestamp: u64, samples: &[f32]) -> usize {
        let free = self.ring.len() - self.queued();
        let accepted = samples.len().min(free);
        self.stats.dropped += (samples.len() - accepted) as u64;
        if accepted == 0 {
            return 0;
        }
        if std::mem::take(&mut self.ran_empty) {
            self.stats.underruns += 1;
            self.prebuffer = (self.prebuffer * 2).min(self.longest);
            self.was_scarce = true;
        }
        if self.timestamp_at(self.write) != Some(timestamp) && self.marks.len() < self.marks.capacity() {
            self.marks.push_back(Mark { position: self.write, timestamp });
        }
        let start = self.index(self.write);
        let (now, wrapped) = samples[..accepted].split_at(accepted.min(self.ring.len() - start));
        self.ring[start..start + now.len()].copy_from_slice(now);
        self.ring[..wrapped.len()].copy_from_slice(wrapped);
        self.write += accepted as u64;
        accepted
    }

    /// The reply is complete, or pauses: plays what is queued without waiting for the prebuffer, and running empty then is no underrun.
    pub fn end_of_reply(&mut self) {
        self.ran_empty = false;
        if self.playing || self.queued() > 0 {
            self.reply_end = Some(self.write);
        } else {
            self.was_scarce = false;
        }
    }

    /// The loudspeaker, which may have a queue of its own behind this one, has come to `timestamp` in the agent's timeline.
    pub fn heard_until(&mut self, timestamp: u64) {
        let unheard = self.timestamp_at(self.write).map_or(0, |end| end.saturating_sub(timestamp));
        self.was_scarce |= self.playing && self.reply_end.is_none() && unheard < self.prebuffer / 2;
    }

    /// Fills `out` with the next samples and returns how many; the rest of `out` is silence.
    pub fn pull(&mut self, out: &mut [f32]) -> usize {
        let mut filled = 0;
        if !self.playing {
            let is_due = self.waits().is_some_and(|left| left < out.len() as u64);
            self.playing = self.is_full() || self.reply_end.is_some() || is_due;
        }
        while self.playing && filled < out.len() {
            let end = self.reply_end.unwrap_or(self.write);
            if self.read < end {
                filled += self.copy_out(end, &mut out[filled..]);
            } else if self.reply_end.take().is_some() {
                if !std::mem::take(&mut self.was_scarce) {
                    self.prebuffer = (self.prebuffer / 2).max(self.shortest);
                }
                self.playing = self.is_full();
            } else {
                self.ran_empty = true;
                self.playing = false;
            }
        }
        out[filled..].fill(0.0);
        self.wait((out.len() - filled) as u64);
        self.forget_passed_marks();
        filled
    }

    /// So many samples of silence were heard, of which [`pull`](Self::pull) counts those that it gives: by so much less what is queued waits.
    pub fn wait(&mut self, samples: u64) {
        self.waited = self.waits().map_or(0, |_| self.waited.saturating_add(samples));
    }

    /// Interrupted: drops everything queued. What was playing fades out over 5 ms, since a sudden stop would click.
    pub fn flush(&mut self) {
        let tail = if self.playing { self.fade.min(self.write - self.read) } else { 0 };
        for step in 0..tail {
            let index = self.index(self.read + step);
            self.ring[index] *= (tail - step) as f32 / (tail + 1) as f32;
        }
        self.write = self.read + tail;
        while self.marks.len() > 1 && self.marks.back().is_some_and(|mark| mark.position >= self.write) {
            self.marks.pop_back();
        }
        self.reply_end = (tail > 0).then_some(self.write);
        self.playing = tail > 0;
        // What ends now is no reply that was heard to its end.
        self.was_scarce = self.playing;
        self.ran_empty = false;
        self.waited = 0;
    }

    /// Samples that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        (self.write - self.read) as usize
    }

    /// For how many samples more what is queued waits at most. `None` if nothing waits.
    #[must_use]
    pub fn waits(&self) -> Option<u64> {
        (!self.playing && self.queued() > 0).then(|| self.prebuffer.saturating_sub(self.waited))
    }

    /// After how many samples of silence somebody has to look again. `None` if nothing waits, or if what waits may be pulled already: it is for
    /// whoever has no room for it to say when they have some.
    #[must_use]
    pub fn due_in(&self) -> Option<u64> {
        self.waits().filter(|left| *left > 0)
    }

    /// Samples that were pulled so far.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.read
    }

    /// How far in the agent's timeline playing has come: the timestamp of the last sample pulled, plus one. None before the first push.
    #[must_use]
    pub fn played_until(&self) -> Option<u64> {
        self.marks.front().map(|mark| mark.timestamp + self.read.saturating_sub(mark.position))
    }

    /// Whether it ran empty in the middle of a reply, of which nothing has come since.
    #[must_use]
    pub fn ran_empty(&self) -> bool {
        self.ran_empty
    }

    /// Whether the next [`pull`](Self::pull) goes on with a reply.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.playing
    }

    /// What went wrong so far.
    #[must_use]
    pub fn stats(&self) -> PlayoutStats {
        self.stats
    }

    /// Whether there is as much as is waited for.
    fn is_full(&self) -> bool {
        self.write - self.read >= self.prebuffer
    }

    fn copy_out(&mut self, end: u64, out: &mut [f32]) -> usize {
        let start = self.index(self.read);
        let count = ((end - self.read) as usize).min(out.len()).min(self.ring.len() - start);
        out[..count].copy_from_slice(&self.ring[start..start + count]);
        self.read += count as u64;
        count
    }

    /// The timestamp that a sample at `position` has if the timeline goes on without a jump.
    fn timestamp_at(&self, position: u64) -> Option<u64> {
        self.marks.back().map(|mark| mark.timestamp + (position - mark.position))
    }

    /// Keeps the mark of the last sample pulled: until the next one is pulled, that is how far playing has come.
    fn forget_passed_marks(&mut self) {
        while self.marks.get(1).is_some_and(|mark| mark.position < self.read) {
            self.marks.pop_front();
        }
    }

    fn index(&self, position: u64) -> usize {
        // There is room for a sample at least.
        position.checked_rem(self.ring.len() as u64).unwrap_or_default() as usize
    }
}

/// Half of what a relay sends ahead of the playing, so that what is waited for always comes.
const LONGEST_PREBUFFER_MS: u32 = 1_000;

/// Long enough for a voice to end without a click, too short to be heard as a word.
const FADE_MS: u32 = 5;

/// The timeline of a well-behaved agent jumps at most once a chunk. Past that number the place is counted on from the last jump.
const MARK_MS: u32 = 10;
const MIN_MARKS: usize = 8;

#[cfg(test)]
mod tests;
