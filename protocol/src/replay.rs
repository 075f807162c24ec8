//! Numbered frames, kept until the other side has no more need of them.

use std::collections::VecDeque;

use crate::{AudioHeader, Codec, Mark};

/// A frame as it goes over the wire, and its place in the timeline.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) mark: Mark,
    samples: u32,
    pub(crate) is_text: bool,
    pub(crate) bytes: Vec<u8>,
}

/// One direction's numbered frames: a queue with a cursor at the next frame to send. Sending does not remove a frame,
/// [`ReplayBuffer::release`] does. Buffers of released frames are used again, so a running call allocates nothing.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    frames: VecDeque<Frame>,
    spare: Vec<Vec<u8>>,
    cursor: Mark,
    end: Mark,
    samples: u64,
    bytes: usize,
}

/// More than any burst leaves behind; the rest goes back to the allocator.
const SPARE_FRAMES: usize = 32;

impl ReplayBuffer {
    pub(crate) fn new(start: Mark) -> Self {
        ReplayBuffer {
            frames: VecDeque::new(),
            spare: Vec::new(),
            cursor: start,
            end: start,
            samples: 0,
            bytes: 0,
        }
    }

    /// The oldest frame held, or where the next one will be.
    pub(crate) fn start(&self) -> Mark {
        self.frames.front().map_or(self.end, |frame| frame.mark)
    }

    /// Where the next frame will be.
    pub(crate) fn end(&self) -> Mark {
        self.end
    }

    /// The next frame to send.
    pub(crate) fn cursor(&self) -> Mark {
        self.cursor
    }

    /// Samples held.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an audio frame of 16-bit samples at the end. `false` if the timeline is full (u32), which ends a call.
    pub(crate) fn push_audio(&mut self, codec: Codec, samples: &[i16]) -> bool {
        let mut bytes = self.spare.pop().unwrap_or_default();
        AudioHeader::write(codec, self.end.seq, self.end.position, &mut bytes);
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.push(bytes, u32::try_from(samples.len()).unwrap_or(u32::MAX), false)
    }

    /// Adds a numbered text message; `json` gets its number.
    pub(crate) fn push_text(&mut self, json: impl FnOnce(u32) -> String) -> bool {
        let text = json(self.end.seq);
        self.push(text.into_bytes(), 0, true)
    }

    fn push(&mut self, bytes: Vec<u8>, samples: u32, is_text: bool) -> bool {
        let Some(position) = self.end.position.checked_add(samples) else { return false };
        let Some(seq) = self.end.seq.checked_add(1) else { return false };
        self.samples += u64::from(samples);
        self.bytes += bytes.len();
        self.frames.push_back(Frame { mark: self.end, samples, is_text, bytes });
        self.end = Mark { seq, position };
        true
    }

    /// Forgets every frame before `seq`.
    pub(crate) fn release(&mut self, seq: u32) {
        while self.frames.front().is_some_and(|frame| frame.mark.seq < seq) {
            self.drop_oldest();
        }
    }

    /// Forgets the oldest frame and says where it was.
    pub(crate) fn drop_oldest(&mut self) -> Option<Mark> {
        let mut frame = self.frames.pop_front()?;
        self.samples -= u64::from(frame.samples);
        self.bytes -= frame.bytes.len();
        if !frame.is_text && self.spare.len() < SPARE_FRAMES {
            frame.bytes.clear();
            self.spare.push(frame.bytes);
        }
        Some(frame.mark)
    }

    /// Sends again from here; the mark comes from the other side and is not beyond the end.
    pub(crate) fn seek(&mut self, mark: Mark) {
        self.cursor = mark;
    }

    /// The frame at the cursor, if it is held. The cursor moves past it.
    pub(crate) fn advance(&mut self) -> Option<&Frame> {
        let index = self.cursor.seq.checked_sub(self.start().seq)?;
        let frame = self.frames.get(index as usize)?;
        self.cursor = Mark { seq: frame.mark.seq + 1, position: frame.mark.position + frame.samples };
        Some(frame)
    }

    /// The mark of frame `seq`, if it is held or the next one.
    pub(crate) fn mark(&self, seq: u32) -> Option<Mark> {
        if seq == self.end.seq {
            return Some(self.end);
        }
        let index = seq.checked_sub(self.start().seq)?;
        self.frames.get(index as usize).map(|frame| frame.mark)
    }

    /// Whether everything held has been sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.cursor.seq == self.end.seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn filled() -> ReplayBuffer {
        let mut buffer = ReplayBuffer::new(Mark { seq: 10, position: 1_000 });
        for _ in 0..5 {
            assert!(buffer.push_audio(Codec::PcmS16le16000, &[7; 160]));
        }
        buffer
    }

    #[test]
    fn frames_are_numbered_and_placed_one_after_another() {
        let mut buffer = filled();
        let marks: Vec<_> = std::iter::from_fn(|| buffer.advance().map(|frame| frame.mark)).collect();
        let expected: Vec<_> = (0..5).map(|i| Mark { seq: 10 + i, position: 1_000 + 160 * i }).collect();
        assert_eq!(marks, expected);
        assert!(buffer.is_sent());
    }

    #[test]
    fn a_sent_frame_stays_until_it_is_released() {
        let mut buffer = filled();
        while buffer.advance().is_some() {}
        buffer.release(12);
        assert_eq!(buffer.start(), Mark { seq: 12, position: 1_320 });
        assert_eq!(buffer.samples(), 480);
        buffer.seek(Mark { seq: 13, position: 1_480 });
        assert_eq!(buffer.advance().map(|frame| frame.mark.seq), Some(13));
    }

    #[test]
    fn a_cursor_before_the_oldest_frame_finds_nothing() {
        let mut buffer = filled();
        buffer.drop_oldest();
        assert!(buffer.advance().is_none());
        assert_eq!(buffer.cursor(), Mark { seq: 10, position: 1_000 });
    }

    #[test]
    fn the_end_of_the_timeline_is_refused() {
        let mut buffer = ReplayBuffer::new(Mark { seq: 0, position: u32::MAX - 100 });
        assert!(!buffer.push_audio(Codec::PcmS16le16000, &[0; 160]));
        assert!(buffer.push_audio(Codec::PcmS16le16000, &[0; 50]));
    }
}
