//! Numbered frames, kept until the other side has no more need of them.

use std::collections::VecDeque;

use crate::{AudioHeader, Codec, Mark};

/// A frame as it goes over the wire, and its place in the timeline.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) mark: Mark,
    samples: u32,
    /// The `type` of a text message; none for audio.
    pub(crate) word: Option<&'static str>,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    fn len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }
}

/// One direction's numbered frames: a queue with a cursor at the next frame to send. Sending does not remove a frame,
/// [`ReplayBuffer::release`] does. What is dropped leaves a hole. Buffers of released frames are used again, so a running call allocates nothing.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    frames: VecDeque<Frame>,
    spare: Vec<Vec<u8>>,
    cursor: Mark,
    end: Mark,
    samples: u64,
    bytes: usize,
    text_bytes: usize,
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
            text_bytes: 0,
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

    /// Those of them that are text messages.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Adds an audio frame of 16-bit samples at the end. `false` if the timeline is full (u32), which ends a call.
    pub(crate) fn push_audio(&mut self, codec: Codec, samples: &[i16]) -> bool {
        let mut bytes = self.spare.pop().unwrap_or_default();
        AudioHeader::write(codec, self.end.seq, self.end.position, &mut bytes);
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.push(bytes, u32::try_from(samples.len()).unwrap_or(u32::MAX), None, String::new())
    }

    /// Adds a text message that was written for [`ReplayBuffer::end`].
    pub(crate) fn push_text(&mut self, word: &'static str, json: String) -> bool {
        self.push(Vec::new(), 0, Some(word), json)
    }

    fn push(&mut self, bytes: Vec<u8>, samples: u32, word: Option<&'static str>, text: String) -> bool {
        let Some(position) = self.end.position.checked_add(samples) else { return false };
        let Some(seq) = self.end.seq.checked_add(1) else { return false };
        self.samples += u64::from(samples);
        let frame = Frame { mark: self.end, samples, word, text, bytes };
        self.bytes += frame.len();
        self.text_bytes += frame.text.len();
        self.frames.push_back(frame);
        self.end = Mark { seq, position };
        true
    }

    /// Forgets every frame before `seq`.
    pub(crate) fn release(&mut self, seq: u32) {
        while self.frames.front().is_some_and(|frame| frame.mark.seq < seq) {
            self.drop(0);
        }
    }

    /// Forgets the oldest audio and says where it was.
    pub(crate) fn drop_oldest_audio(&mut self) -> Option<Mark> {
        let oldest = self.frames.iter().position(|frame| frame.word.is_none())?;
        self.drop(oldest).map(|frame| frame.mark)
    }

    /// Takes the text messages that are not before `seq` and that `is_meant` means.
    pub(crate) fn take_texts(&mut self, seq: u32, is_meant: impl Fn(&'static str) -> bool) -> Vec<String> {
        let mut taken = Vec::new();
        let mut index = self.index(seq);
        while let Some(frame) = self.frames.get(index) {
            if frame.word.is_some_and(&is_meant) {
                taken.extend(self.drop(index).map(|frame| frame.text));
            } else {
                index += 1;
            }
        }
        taken
    }

    fn drop(&mut self, index: usize) -> Option<Frame> {
        let mut frame = self.frames.remove(index)?;
        self.samples -= u64::from(frame.samples);
        self.bytes -= frame.len();
        self.text_bytes -= frame.text.len();
        if frame.word.is_none() && self.spare.len() < SPARE_FRAMES {
            frame.bytes.clear();
            self.spare.push(std::mem::take(&mut frame.bytes));
        }
        Some(frame)
    }

    /// Sends again from here; the mark comes from the other side and is not beyond the end.
    pub(crate) fn seek(&mut self, mark: Mark) {
        self.cursor = mark;
    }

    /// The frame at the cursor, if it is held.
    pub(crate) fn peek(&self) -> Option<&Frame> {
        self.frames.get(self.index(self.cursor.seq)).filter(|frame| frame.mark.seq == self.cursor.seq)
    }

    /// The same, and the cursor moves past it. Whether the other side reads the number of samples is known only when it is sent.
    pub(crate) fn advance(&mut self, with_samples: bool) -> Option<&Frame> {
        let index = self.index(self.cursor.seq);
        let frame = self.frames.get_mut(index).filter(|frame| frame.mark.seq == self.cursor.seq)?;
        self.cursor = Mark { seq: frame.mark.seq + 1, position: frame.mark.position + frame.samples };
        if frame.word.is_none() {
            AudioHeader::set_samples(&mut frame.bytes, if with_samples { frame.samples } else { 0 });
        }
        Some(frame)
    }

    /// The mark of the first frame that is held from `seq` on, or of the next one.
    pub(crate) fn next_held(&self, seq: u32) -> Mark {
        self.frames.get(self.index(seq)).map_or(self.end, |frame| frame.mark)
    }

    /// The mark of frame `seq`, if it is held or the next one.
    pub(crate) fn mark(&self, seq: u32) -> Option<Mark> {
        Some(self.next_held(seq)).filter(|mark| mark.seq == seq)
    }

    /// Where the first frame from `seq` on is in the queue.
    fn index(&self, seq: u32) -> usize {
        self.frames.partition_point(|frame| frame.mark.seq < seq)
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
        let marks: Vec<_> = std::iter::from_fn(|| buffer.advance(false).map(|frame| frame.mark)).collect();
        let expected: Vec<_> = (0..5).map(|i| Mark { seq: 10 + i, position: 1_000 + 160 * i }).collect();
        assert_eq!(marks, expected);
        assert!(buffer.is_sent());
    }

    #[test]
    fn a_sent_frame_stays_until_it_is_released() {
        let mut buffer = filled();
        while buffer.advance(false).is_some() {}
        buffer.release(12);
        assert_eq!(buffer.start(), Mark { seq: 12, position: 1_320 });
        assert_eq!(buffer.samples(), 480);
        buffer.seek(Mark { seq: 13, position: 1_480 });
        assert_eq!(buffer.advance(false).map(|frame| frame.mark.seq), Some(13));
    }

    #[test]
    fn a_cursor_before_the_oldest_frame_finds_nothing() {
        let mut buffer = filled();
        buffer.drop_oldest_audio();
        assert!(buffer.advance(false).is_none());
        assert_eq!(buffer.cursor(), Mark { seq: 10, position: 1_000 });
    }

    #[test]
    fn only_audio_is_dropped_for_want_of_room_and_the_hole_is_seen() {
        let mut buffer = ReplayBuffer::new(Mark::default());
        for word in ["text", "say"] {
            assert!(buffer.push_text(word, word.into()));
            assert!(buffer.push_audio(Codec::PcmS16le16000, &[7; 160]));
        }
        assert_eq!(buffer.drop_oldest_audio(), Some(Mark { seq: 1, position: 0 }));
        assert_eq!((buffer.text_bytes(), buffer.samples()), (7, 160));
        let mut marks = Vec::new();
        while !buffer.is_sent() {
            let next = buffer.next_held(buffer.cursor().seq);
            if next.seq > buffer.cursor().seq {
                buffer.seek(next);
            }
            marks.extend(buffer.advance(true).map(|frame| (frame.mark.seq, frame.word)));
        }
        assert_eq!(marks, [(0, Some("text")), (2, Some("say")), (3, None)]);
        assert_eq!(buffer.take_texts(1, |word| word == "say"), ["say"]);
        assert_eq!(buffer.next_held(1), Mark { seq: 3, position: 160 });
    }

    #[test]
    fn the_end_of_the_timeline_is_refused() {
        let mut buffer = ReplayBuffer::new(Mark { seq: 0, position: u32::MAX - 100 });
        assert!(!buffer.push_audio(Codec::PcmS16le16000, &[0; 160]));
        assert!(buffer.push_audio(Codec::PcmS16le16000, &[0; 50]));
    }
}
