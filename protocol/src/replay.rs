//! Numbered frames, kept until the other side has no more need of them.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::{AudioHeader, Codec, HEADER_LEN, Mark};

/// Bytes that many may have, and nobody changes.
///
/// A relay's driver hands [`Bytes`] on to its socket. In a page, nobody needs more than an `Arc`, which costs 1.7 KB of download less.
pub(crate) trait Shared: Clone + Deref<Target = [u8]> {
    /// Takes them in, with no more room than they need.
    fn share(bytes: Vec<u8>) -> Self;
}

impl Shared for Bytes {
    fn share(bytes: Vec<u8>) -> Self {
        bytes.into()
    }
}

impl Shared for Arc<[u8]> {
    fn share(bytes: Vec<u8>) -> Self {
        bytes.into()
    }
}

/// A message as it goes over the wire. Audio is shared with the buffer that keeps it; a text is a copy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message<B> {
    Text(String),
    Binary(B),
}

impl<B: Shared> Message<B> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }
}

/// A frame and its place in the timeline.
#[derive(Debug)]
struct Frame<B> {
    mark: Mark,
    samples: u32,
    /// The `type` of a text message; none for audio.
    word: Option<&'static str>,
    message: Message<B>,
}

impl<B: Shared> Frame<B> {
    fn text_bytes(&self) -> usize {
        if self.word.is_some() { self.message.len() } else { 0 }
    }

    /// Whether the other side reads the number of samples is known for certain only when the frame is sent. Whoever was connected before read as
    /// much, as a rule, and the frame is as it has to be; otherwise it is written anew, once.
    fn count_samples(&mut self, counted: bool) {
        let Message::Binary(bytes) = &mut self.message else { return };
        let samples = if counted { self.samples } else { 0 };
        if !AudioHeader::has_samples(bytes, samples) {
            let mut frame = bytes.to_vec();
            AudioHeader::set_samples(&mut frame, samples);
            *bytes = B::share(frame);
        }
    }
}

/// One direction's numbered frames: a queue with a cursor at the next frame to send. Sending does not remove a frame,
/// [`ReplayBuffer::release`] does. What is dropped leaves a hole. A chunk of audio is written once, into a buffer of its own.
#[derive(Debug)]
pub(crate) struct ReplayBuffer<B> {
    frames: VecDeque<Frame<B>>,
    /// Whether the other side read the number of samples when something was last sent.
    counted: bool,
    cursor: Mark,
    end: Mark,
    samples: u64,
    bytes: usize,
    text_bytes: usize,
}

impl<B: Shared> ReplayBuffer<B> {
    pub(crate) fn new(start: Mark) -> Self {
        ReplayBuffer {
            frames: VecDeque::new(),
            counted: true,
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
        let mut frame = Vec::with_capacity(HEADER_LEN + 2 * samples.len());
        AudioHeader::write(codec, self.end.seq, self.end.position, &mut frame);
        frame.resize(HEADER_LEN + 2 * samples.len(), 0);
        let payload = frame.get_mut(HEADER_LEN..).unwrap_or_default();
        for (bytes, sample) in payload.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
            *bytes = sample.to_le_bytes();
        }
        let samples = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        if self.counted {
            AudioHeader::set_samples(&mut frame, samples);
        }
        let frame = B::share(frame);
        self.push(Message::Binary(frame), samples, None)
    }

    /// Adds a text message that was written for [`ReplayBuffer::end`].
    pub(crate) fn push_text(&mut self, word: &'static str, json: String) -> bool {
        self.push(Message::Text(json), 0, Some(word))
    }

    fn push(&mut self, message: Message<B>, samples: u32, word: Option<&'static str>) -> bool {
        let Some(position) = self.end.position.checked_add(samples) else { return false };
        let Some(seq) = self.end.seq.checked_add(1) else { return false };
        self.samples += u64::from(samples);
        let frame = Frame { mark: self.end, samples, word, message };
        self.bytes += frame.message.len();
        self.text_bytes += frame.text_bytes();
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

    /// Forgets what was not sent, as if it had never been said.
    pub(crate) fn cut(&mut self) {
        let next = self.index(self.cursor.seq);
        while self.drop(next).is_some() {}
        self.end = self.cursor;
    }

    /// Takes the text messages that are not before `seq` and that `is_meant` means.
    pub(crate) fn take_texts(&mut self, seq: u32, is_meant: &dyn Fn(&'static str) -> bool) -> Vec<String> {
        let mut taken = Vec::new();
        let mut index = self.index(seq);
        while let Some(frame) = self.frames.get(index) {
            if frame.word.is_some_and(is_meant) {
                taken.extend(self.drop(index).and_then(|frame| match frame.message {
                    Message::Text(text) => Some(text),
                    Message::Binary(_) => None,
                }));
            } else {
                index += 1;
            }
        }
        taken
    }

    fn drop(&mut self, index: usize) -> Option<Frame<B>> {
        let frame = self.frames.remove(index)?;
        self.samples -= u64::from(frame.samples);
        self.bytes -= frame.message.len();
        self.text_bytes -= frame.text_bytes();
        Some(frame)
    }

    /// Sends again from here; the mark comes from the other side and is not beyond the end.
    pub(crate) fn seek(&mut self, mark: Mark) {
        self.cursor = mark;
    }

    /// Whether the frame at the cursor is held and a text message.
    pub(crate) fn is_text_next(&self) -> bool {
        let next = self.frames.get(self.index(self.cursor.seq));
        next.is_some_and(|frame| frame.mark.seq == self.cursor.seq && frame.word.is_some())
    }

    /// The frame at the cursor, if it is held, and the cursor moves past it. `counted` says whether the other side reads the number of samples.
    pub(crate) fn advance(&mut self, counted: bool) -> Option<Message<B>> {
        self.counted = counted;
        let index = self.index(self.cursor.seq);
        let frame = self.frames.get_mut(index).filter(|frame| frame.mark.seq == self.cursor.seq)?;
        self.cursor = Mark { seq: frame.mark.seq + 1, position: frame.mark.position + frame.samples };
        frame.count_samples(counted);
        Some(frame.message.clone())
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

    fn filled() -> ReplayBuffer<Arc<[u8]>> {
        let mut buffer = ReplayBuffer::new(Mark { seq: 10, position: 1_000 });
        for _ in 0..5 {
            assert!(buffer.push_audio(Codec::PcmS16le16000, &[7; 160]));
        }
        buffer
    }

    /// The mark in the header of the next frame, which is audio.
    fn sent(buffer: &mut ReplayBuffer<Arc<[u8]>>) -> Option<Mark> {
        let Message::Binary(frame) = buffer.advance(false)? else { panic!("a text") };
        let (header, _) = AudioHeader::parse(&frame).expect("audio");
        Some(Mark { seq: header.seq, position: header.position })
    }

    #[test]
    fn frames_are_numbered_and_placed_one_after_another() {
        let mut buffer = filled();
        let marks: Vec<_> = std::iter::from_fn(|| sent(&mut buffer)).collect();
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
        assert_eq!(sent(&mut buffer), Some(Mark { seq: 13, position: 1_480 }));
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
        let mut buffer = ReplayBuffer::<Arc<[u8]>>::new(Mark::default());
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
            let seq = buffer.cursor().seq;
            marks.extend(buffer.advance(true).map(|message| match message {
                Message::Text(text) => (seq, text),
                Message::Binary(frame) => (seq, frame.len().to_string()),
            }));
        }
        assert_eq!(marks, [(0, "text".into()), (2, "say".into()), (3, "332".into())]);
        assert_eq!(buffer.take_texts(1, &|word| word == "say"), ["say"]);
        assert_eq!(buffer.next_held(1), Mark { seq: 3, position: 160 });
    }

    #[test]
    fn what_is_sent_shares_its_bytes_with_what_is_kept_and_is_written_anew_only_for_another_reader() {
        let mut buffer = filled();
        let start = buffer.start();
        let mut send = |counted| {
            buffer.seek(start);
            let Some(Message::Binary(frame)) = buffer.advance(counted) else { panic!("no audio") };
            let samples = AudioHeader::parse(&frame).map(|(header, _)| header.samples);
            (frame.as_ptr(), samples)
        };
        let first = send(true);
        assert_eq!((send(true), first.1), (first, Some(160)));
        let other = send(false);
        assert_eq!((send(false), other.1), (other, Some(0)));
        assert!(buffer.push_audio(Codec::PcmS16le16000, &[7; 160]));
        let Some(Message::Binary(frame)) = buffer.frames.back().map(|frame| &frame.message) else {
            panic!("no audio")
        };
        assert_eq!(
            AudioHeader::parse(frame).map(|(header, _)| header.samples),
            Some(0),
            "as the last reader had it"
        );
    }

    #[test]
    fn the_end_of_the_timeline_is_refused() {
        let mut buffer = ReplayBuffer::<Arc<[u8]>>::new(Mark { seq: 0, position: u32::MAX - 100 });
        assert!(!buffer.push_audio(Codec::PcmS16le16000, &[0; 160]));
        assert!(buffer.push_audio(Codec::PcmS16le16000, &[0; 50]));
    }
}
